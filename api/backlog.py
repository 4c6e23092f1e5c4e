"""What lies undone in the ledger, for /health and /metrics: one look at the database serves both."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Rows = Callable[[str], Awaitable[Sequence[Mapping[str, Any]]]]

# How far the read models are behind each partition's log.
_PARTITIONS = """
    with heads as (
        select p as partition, coalesce(e.position, 0) as position
        from generate_series(0, (select partitions from log) - 1) p
        left join lateral (select position from events where partition = p order by position desc limit 1) e on true
    )
    select h.partition, h.position, h.position - coalesce(c.position, 0) as behind,
        extract(epoch from clock_timestamp() - o.time) as age
    from heads h left join read.checkpoints c using (partition)
    left join events o on o.partition = h.partition and o.position = coalesce(c.position, 0) + 1"""
_STOPS = "select partition, position, reason from read_stops order by partition"
_RELAY = "select partition, position, reason, refused, at from relay_stops order by refused desc, partition"
_TOPIC = """
    select id, topic, partition, kind, records, first_offset, last_offset, position, reason, found_at, last_at
    from topic_faults where acknowledged_at is null order by partition, kind"""
# The oldest hold is looked for among the thousand that end first, which an index has in order.
_WAITING = """
    with held as (
        (select created_at, expires_at from read.reservations where status = 'held' order by expires_at limit 1000)
        union all
        (select created_at, expires_at from read.generations where status in ('held', 'running')
            order by expires_at limit 1000)
    )
    select
        (select extract(epoch from clock_timestamp() - min(created_at)) from held) as oldest_hold_seconds,
        (select extract(epoch from clock_timestamp() - min(expires_at)) from held) as overdue_seconds,
        (select count(*) from quarantine where resolved_at is null) as quarantined,
        (select count(*) from alerts where published_at is null) as unpublished_alerts,
        (select count(*) from deliveries where status = 'pending') as pending_deliveries,
        (select count(*) from webhooks where disabled_reason is not null) as disabled_webhooks"""

# Metric -> meaning; the values are the columns above.
GAUGES = {
    "oldest_hold_seconds": "Age of the oldest open hold.",
    "overdue_seconds": "By how much the hold that should have ended first is overdue.",
    "quarantined": "Usage events in quarantine.",
    "unpublished_alerts": "Alerts that are not yet in the topic of notifications.",
    "pending_deliveries": "Webhook deliveries that are still to be made.",
    "disabled_webhooks": "Webhooks that were switched off because they failed for long.",
}


_RELAY_ISSUE = (
    "Partition {partition} is not published: event {position} does not get into the ledger's topic since"
    " {at:%Y-%m-%d %H:%M:%S} UTC: {reason} (runbook: relay-stopped)"
)
_TOPIC_ISSUES = {
    "foreign": "In partition {partition} of the topic {topic} stand {records} records that are not the log's events,"
    " the first at offset {first_offset}",
    "missing": "In partition {partition} the topic {topic} lacks events, before offset {first_offset}",
}


@dataclass(frozen=True, slots=True)
class Lag:
    """A partition: the log's last position, the events not yet in the read models, and the age of the oldest."""

    position: int
    events: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """`lags` by partition, `stops` (partition -> why its read models stand still), `waiting` by names of GAUGES.

    `relay`: the partitions that do not get into the topic, those first whose next event Kafka refused.
    `topic`: what stands in the ledger's topic and is not the log's, or is missing there, until it is acknowledged.
    """

    lags: Mapping[int, Lag] = field(default_factory=dict)
    stops: Mapping[int, str] = field(default_factory=dict)
    waiting: Mapping[str, float] = field(default_factory=dict)
    topic: Sequence[Mapping[str, Any]] = ()
    relay: Sequence[Mapping[str, Any]] = ()

    @property
    def relay_issues(self) -> list[str]:
        """A sentence for each partition that is not published."""
        return [_RELAY_ISSUE.format(**row) for row in self.relay]

    @property
    def topic_issues(self) -> list[str]:
        """A sentence for each partition and kind, with the reason: for operators."""
        return [f"{issue}: {row['reason']}" for issue, row in zip(self.topic_faults, self.topic, strict=True)]

    @property
    def topic_faults(self) -> list[str]:
        """The same without the reasons, which may quote somebody's data."""
        return [_TOPIC_ISSUES[row["kind"]].format(**row) for row in self.topic]


async def backlog_of(rows: Rows) -> Backlog:
    """Look at all organisations. Raises psycopg.Error: UndefinedTable before the first projector has run."""
    lags = {
        row["partition"]: Lag(row["position"], int(row["behind"]), _seconds(row["age"]))
        for row in await rows(_PARTITIONS)
    }
    stops = {row["partition"]: f"event {row['position']}: {row['reason']}" for row in await rows(_STOPS)}
    (waiting,) = await rows(_WAITING)
    figures = {name: _seconds(waiting[name]) for name in GAUGES}
    return Backlog(lags, stops, figures, await rows(_TOPIC), await rows(_RELAY))


def _seconds(value: Any) -> float:
    """PostgreSQL's numeric; nothing that waits, or only in the future, is 0."""
    return max(0.0, float(value or 0))
