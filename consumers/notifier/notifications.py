"""Alerts on the topic `scrip.notifications`: the table is the outbox, and a row is done when Kafka has acknowledged."""

from datetime import datetime
from typing import Any

import msgspec
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from infra.outlet import Outgoing, Outlet
from infra.webhooks.deliveries import message_id

BATCH = 500

_NEXT = f"""
    select id, org, rule, type, severity, subject, user_id, message, data as facts, at from alerts
    where published_at is null order by id limit {BATCH}"""
_DONE = "update alerts set published_at = scrip_now() where id = any(%s)"


class Notification(msgspec.Struct):
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


async def publish_alerts(pool: "AsyncConnectionPool[Any]", outlet: Outlet, topic: str) -> int:
    """Publish a batch of what is not yet published, in order, and return how many those were.

    Killed between publishing and noting it, the next call publishes them again under the same `ce_id`.
    Raises psycopg.Error, KafkaError, OSError, TimeoutError.
    """
    async with pool.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(Notification))
        rows = await (await cursor.execute(_NEXT.encode())).fetchall()
    if rows:
        await outlet.publish(topic, [outgoing(row) for row in rows])
        async with pool.connection() as connection:
            await connection.execute(_DONE, ([row.id for row in rows],))
    return len(rows)


def outgoing(alert: Notification) -> Outgoing:
    """The record of an alert: CloudEvents 1.0 in binary mode, keyed by the organisation, so in order for each."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", message_id(alert.id).encode()),
        ("ce_type", alert.type.encode()),
        ("ce_source", b"/scrip/notifier"),
        ("ce_subject", alert.subject.encode()),
        ("ce_time", alert.at.isoformat().encode()),
        ("ce_scriporg", alert.org.encode()),
        ("content-type", b"application/json"),
    ]
    return Outgoing(alert.org.encode(), msgspec.json.encode(alert), headers)
