"""What the notifier publishes: alerts on `scrip.notifications`, refused generations on `scrip.decisions`.

Killed between publishing and noting it, it publishes the same again under the same `ce_id`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from consumers.notifier.engine import advance, ahead
from infra.alerts import TYPES
from infra.decisions import DECISIONS, GENERATION, Decision
from infra.kafka import topics
from infra.kafka.channels import Channel, Outgoing, Outlet
from infra.position import WIDTH
from infra.webhooks.deliveries import message_id

BATCH = 500
REFUSALS = "decisions"  # under which is kept how far they are published

_ALERTS = f"""
    select id, org, rule, type, severity, subject, user_id, message, data as facts, at from alerts
    where published_at is null order by id limit {BATCH}"""
_PUBLISHED = "update alerts set published_at = scrip_now() where id = any(%s)"

_REFUSED = f"""
    select r.org, lpad(r.position::text, {WIDTH}, '0') as position, r.at, r.user_id, r.operation, r.provider, r.model,
        r.feature, r.reason, r.deficit, r.generation_id, e.actor
    from unnest(%b::smallint[], %b::bigint[], %b::bigint[]) as w (partition, past, upto)
    cross join lateral (
        select org, position, actor from events where partition = w.partition
            and position > w.past and position <= w.upto and type = 'generation-refused.v1'
    ) e
    join read.refusals r on r.org = e.org and r.position = e.position
    order by r.org, r.position"""


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

    Raises psycopg.Error, KafkaError, OSError, TimeoutError.
    """
    async with pool.connection() as connection:
        cursor = connection.cursor(row_factory=class_row(Notification))
        rows = await (await cursor.execute(_ALERTS.encode())).fetchall()
    if rows:
        await outlet.publish([alert_record(row) for row in rows])
        async with pool.connection() as connection:
            await connection.execute(_PUBLISHED, ([row.id for row in rows],))
    return len(rows)


def alert_record(alert: Notification) -> Outgoing:
    """The record of an alert."""
    return NOTIFICATIONS.record(alert, alert.type, message_id(alert.id), alert.at, alert.subject)


async def publish_refusals(pool: "AsyncConnectionPool[Any]", outlet: Outlet) -> bool:
    """Publish the refusals of a stretch of the log, then note how far; whether there may be more already.

    Raises psycopg.Error, KafkaError, OSError, TimeoutError.
    """
    async with pool.connection() as connection:
        parts = await ahead(connection, REFUSALS)
        if not parts:
            return False
        columns = ([part.partition for part in parts], [part.past for part in parts], [part.upto for part in parts])
        cursor = connection.cursor(row_factory=class_row(Decision))
        found = await (await cursor.execute(_REFUSED.encode(), columns)).fetchall()
    if found:
        await outlet.publish([refusal_record(refusal) for refusal in found])
    async with pool.connection() as connection:
        await advance(connection, REFUSALS, parts)
    return True


def refusal_record(refusal: Decision) -> Outgoing:
    """The record of a refused generation; its `ce_id` is organisation and position."""
    return DECISIONS.record(refusal, GENERATION, f"{refusal.org}/{refusal.position}", refusal.at)
