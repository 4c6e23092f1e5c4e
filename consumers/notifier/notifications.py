"""Alerts on the topic `scrip.notifications`: the table is the outbox, and a row is done when Kafka has acknowledged."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from infra import topics
from infra.alert_rules import TYPES
from infra.channels import Channel, Outgoing, Outlet
from infra.webhooks.deliveries import message_id

BATCH = 500

_NEXT = f"""
    select id, org, rule, type, severity, subject, user_id, message, data as facts, at from alerts
    where published_at is null order by id limit {BATCH}"""
_DONE = "update alerts set published_at = scrip_now() where id = any(%s)"


@dataclass(slots=True)
class Notification:
    """An alert: which rule was crossed, by what, since when, and the numbers. `id` is that of `GET /api/v1/alerts`."""

    id: int
    org: str
    rule: str
    type: str
    severity: str
    subject: str
    user_id: str | None
    message: str
    facts: dict[str, Any]
    at: datetime


NOTIFICATIONS = Channel(
    title="notifications",
    topic=topics.NOTIFICATIONS,
    description="Alerts, at least once: `ce_id` tells a repeat.",
    messages=dict.fromkeys(TYPES, Notification),
    source="/scrip/notifier",
)


async def publish_alerts(pool: "AsyncConnectionPool[Any]", outlet: Outlet) -> int:
    """Publish a batch of what is not yet published, in order, and return how many those were.

    Killed between publishing and noting it, the next call publishes them again under the same `ce_id`.
    Raises psycopg.Error, KafkaError, OSError, TimeoutError.
    """
    async with pool.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(Notification))
        rows = await (await cursor.execute(_NEXT.encode())).fetchall()
    if rows:
        await outlet.publish([outgoing(row) for row in rows])
        async with pool.connection() as connection:
            await connection.execute(_DONE, ([row.id for row in rows],))
    return len(rows)


def outgoing(alert: Notification) -> Outgoing:
    """The record of an alert."""
    return NOTIFICATIONS.record(alert, alert.type, message_id(alert.id), alert.at, alert.subject)
