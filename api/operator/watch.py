"""How far behind the read models and the consumers are."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

import psycopg
from aiokafka.errors import KafkaError
from psycopg_pool import PoolTimeout, TooManyRequests

from api.http.database import Database
from infra.kafka.lag import LagReader, Unread, read_by_us
from infra.kafka.topics import LEDGER, NOTIFIER, PROJECTOR, topic_name
from infra.settings import Settings
from infra.waits import set_within

Rows = Callable[[str], Awaitable[Sequence[Mapping[str, Any]]]]

# The last position of each partition.
_HEADS = """heads as (
        select p as partition, coalesce(e.position, 0) as position
        from generate_series(0, (select partitions from log) - 1) p
        left join lateral (select position from events where partition = p order by position desc limit 1) e on true
    )"""
# How far the read models are behind each partition's log.
_PARTITIONS = f"""
    with {_HEADS}
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
        """The same without the reasons, which may quote a customer's data."""
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


log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
KAFKA_S = 5.0  # for one look
LOG = "log"  # in place of a topic: what the notifier reads in PostgreSQL

# The readers that keep their place in PostgreSQL: the projector of the ledger's topic, the notifier of the log.
_IN_POSTGRES = f"""
    with {_HEADS}, reached as (
        select 'projector' as reader, partition, position from read.checkpoints
        union all select 'notifier', partition, position from notifier_positions where name = 'alerts'
    )
    select reader.name, h.partition, coalesce(r.position, 0) as reached,
        greatest(h.position - coalesce(r.position, 0), 0) as records,
        (extract(epoch from o.time) * 1000)::bigint as oldest_ms
    from heads h cross join unnest(array['projector', 'notifier']) as reader (name)
    left join reached r on r.reader = reader.name and r.partition = h.partition
    left join events o on o.partition = h.partition and o.position = coalesce(r.position, 0) + 1"""
_NOW = "select (extract(epoch from clock_timestamp()) * 1000)::bigint as now"

_Key = tuple[str, str, int]


class Consumer(NamedTuple):
    """A partition that one of our consumer groups reads.

    `records` wait there, the oldest for `seconds` by its own time and the database's clock. For `still_s` the group
    has not moved although something waits: as long as this process has seen it so.
    """

    topic: str
    group: str
    partition: int
    records: int
    seconds: float
    still_s: float

    @property
    def sentence(self) -> str:
        """What people read when it makes no progress."""
        return (
            f"The consumer group {self.group} has read nothing of {self.topic}, partition {self.partition}, for"
            f" {self.still_s:.0f} s while {self.records:,} records wait (runbook: consumer-stalled)."
        )


class Still:
    """Remembers since when each group is at the same offset while records wait."""

    def __init__(self) -> None:
        self._since: dict[_Key, tuple[int | None, float]] = {}

    def seen(self, all_unread: Iterable[Unread], now_s: float, now_ms: int | None) -> list[Consumer]:
        """What was seen just now. `now_s`: a clock that never jumps; `now_ms`: the database's, in ms since 1970."""
        found: list[Consumer] = []
        since: dict[_Key, tuple[int | None, float]] = {}
        for unread in all_unread:
            key = (unread.topic, unread.group, unread.partition)
            reached, began = self._since.get(key, (unread.reached, now_s))
            if reached != unread.reached or not unread.records:
                began = now_s
            since[key] = (unread.reached if unread.records else None, began)
            known = unread.oldest_ms is not None and now_ms is not None and unread.records
            aged = max(0, (now_ms or 0) - (unread.oldest_ms or 0)) / 1000 if known else 0.0
            still = now_s - began
            found.append(
                Consumer(unread.topic, unread.group, unread.partition, unread.records, max(aged, still), still)
            )
        self._since = since
        return found


class ConsumerWatch:
    """Looks every few seconds in the background, so that `/health` does not wait for a broker that is away.

    `consumers` as of the last look, without those at the broker where it did not answer. `broker`: whether it did;
    none before the first look, and where the settings name no broker.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._still_at_broker, self._still_in_postgres = Still(), Still()
        self._at_broker: Sequence[Consumer] = ()
        self._in_postgres: Sequence[Consumer] = ()
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.broker: bool | None = None

    @property
    def consumers(self) -> list[Consumer]:
        """All of them, what is at the broker first."""
        return [*self._at_broker, *self._in_postgres]

    @property
    def stalled(self) -> list[Consumer]:
        """Those that have made no progress for too long while records wait."""
        return [one for one in self.consumers if one.records and one.still_s >= self._settings.stalled_after_s]

    def start(self) -> None:
        """Begin to look, in the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def first_look(self, within_s: float) -> None:
        """Wait until there was one, but not longer than this."""
        await set_within(self._looked, within_s)

    async def _run(self) -> None:
        reader = LagReader(self._settings, read_by_us(self._settings)) if self._settings.kafka else None
        pause = min(LOOK_EVERY_S, self._settings.stalled_after_s / 4)
        try:
            while True:
                try:
                    await self._look(reader)
                except Exception:  # a bug; the next look may work
                    log.exception("looking at consumers failed")
                    self.broker, self._at_broker = False if reader else None, ()
                self._looked.set()
                await asyncio.sleep(pause)
        finally:
            if reader is not None:
                await reader.close()

    async def _look(self, reader: LagReader | None) -> None:
        now_ms: int | None = None
        try:
            (row,) = await self._database.rows_of_all(_NOW)
            now_ms = row["now"]
            rows = await self._database.rows_of_all(_IN_POSTGRES)
            in_postgres = [self._unread(row) for row in rows]
            self._in_postgres = self._still_in_postgres.seen(in_postgres, monotonic(), now_ms)
        except (psycopg.Error, PoolTimeout, TooManyRequests):
            self._in_postgres = ()  # `/health` reports the database itself
        if reader is None:
            return
        try:
            self._at_broker = self._still_at_broker.seen(await reader.look(KAFKA_S), monotonic(), now_ms)
        except (KafkaError, OSError, TimeoutError) as error:
            if self.broker is not False:
                log.warning("the broker does not tell how far consumers are: %s", error or type(error).__name__)
            self.broker, self._at_broker = False, ()
        else:
            self.broker = True

    def _unread(self, row: Mapping[str, Any]) -> Unread:
        topic, group = LOG, topic_name(self._settings, NOTIFIER)
        if row["name"] == "projector":
            topic, group = topic_name(self._settings, LEDGER), topic_name(self._settings, PROJECTOR)
        return Unread(topic, group, row["partition"], row["reached"], row["records"], row["oldest_ms"])
