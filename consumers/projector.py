"""The role `scrip projector`: folds the ledger's topic into the read models."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faststream.kafka import KafkaBroker

from consumers import subscribing
from consumers.rebuild import rebuild_from, serve_rebuilds
from consumers.subscribing import Records, Watch, consuming_broker, subscribed
from consumers.topic_check import MISSING, Fault, TopicCheck, note
from domain.registry import SCRIP
from infra.kafka import topics
from infra.kafka.channels import Channel
from infra.log.mapper import LedgerMapper
from infra.log.postgres import PostgresLog
from infra.role_metrics import Figure, RoleMetrics, metrics_served
from infra.settings import Settings
from infra.waits import set_within
from projections import versions
from projections.runner import Applied, PositionGap, Runner

log = logging.getLogger(__name__)

MAX_RECORDS = 8_000  # when far behind: rows of busy accounts are then written once for many events
POLL_MS = 10  # FastStream sleeps as long again after a poll without records, so this is also a delay
GATHER_S = 0.08  # from one small batch to the next: some twenty statements a batch cost more than its events
GATHER_BELOW = 500  # events; a larger batch says that there is more to do
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 30.0
AWAY_PAUSE_S = 2.0  # at most after an error of the database: soon after it is back, lists are current again
CLOSE_S = 30.0
# How soon another projector, or the same one after a kill -9, gets the partitions of one that is gone. As short as
# brokers allow: two that own a partition at once do no harm here.
TAKE_OVER = {"session_timeout_ms": 6_000, "heartbeat_interval_ms": 2_000}

Result = TypeVar("Result")

LEDGER = Channel(
    title="ledger",
    topic=topics.LEDGER,
    description="The immutable log, in binary mode; key: organisation/stream.",
    messages=SCRIP.events,
    group=topics.PROJECTOR,  # it never commits offsets
)


class ProjectorStuck(Exception):
    """Records lie ahead and none has come for 30 s: only a new process helps, which the supervisor starts."""


async def run_projector(settings: Settings, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until `stop` is set; `on_ready` is called when the first partitions are assigned.

    Waits for PostgreSQL and Kafka when they are away. Read models of another shape than this code's are rebuilt
    first. Raises ProjectorStuck, and KafkaMisconfigured for wrong settings.
    """
    uri = settings.projector_url.get_secret_value()
    projection = Projection(Runner(uri, LedgerMapper.of(SCRIP).decode), stop)
    broker = consuming_broker(settings, "scrip-projector", log, stop)
    projection.attach(broker, settings)
    try:
        if await projection.persist("preparing the read models", partial(_prepare, uri)) is None:
            return
        with metrics_served(settings, projector_metrics(projection)):
            while not await _started(broker):
                await set_within(stop, 1.0)
                if stop.is_set():
                    return
            rebuilds = asyncio.create_task(serve_rebuilds(settings, stop))
            try:
                await projection.watch(on_ready)
            finally:
                rebuilds.cancel()
    finally:
        projection.end()
        await broker.stop()
        await projection.close()


def _prepare(uri: str) -> bool:
    if versions.ensure(uri).shape != versions.shape():
        log.warning("the read models are of another version and are rebuilt from the log")
        report = rebuild_from(uri)
        log.warning("rebuilt %s events into generation %s", report.events, report.generation)
    return True


async def _started(broker: KafkaBroker) -> bool:
    try:
        await broker.start()
    except (KafkaError, OSError) as error:
        log.warning("Kafka cannot be reached and is tried again: %s", error or type(error).__name__)
        await broker.stop()
        return False
    return True


class Projection(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The FastStream side: where to read from, what came, and what to do where it does not fit.

    PostgreSQL's checkpoint is the truth: reading starts after it whenever partitions are assigned.
    """

    def __init__(self, runner: Runner, stop: asyncio.Event) -> None:
        self._runner = runner
        self._stop = stop
        self._thread = ThreadPoolExecutor(1, "projector")  # the runner's: psycopg would block Kafka's heartbeats
        self._subscriber: Any = None
        self._assigned = asyncio.Event()
        self._watch = Watch()
        self._waiting = False  # for PostgreSQL, which is no reason to start a new process
        self._gaps: dict[int, tuple[int, int]] = {}  # partition -> the position that came too early, and how often
        self._ended = False
        self._check = TopicCheck()
        self._spoilt: set[int] = set()  # partitions with a foreign record since the last event that was applied
        self.applied = self.foreign = 0

    @property
    def stopped(self) -> int:
        """How many of its partitions have met an event that cannot be applied."""
        return len(self._runner.stopped)

    def attach(self, broker: KafkaBroker, settings: Settings) -> None:
        reading = {"max_records": MAX_RECORDS, "batch_timeout_ms": POLL_MS, **TAKE_OVER}
        self._subscriber = subscribed(broker, LEDGER, settings, listener=self, **reading)
        self._subscriber(self.handle)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing to hand over: what is applied is in the checkpoint."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._gaps.clear()
        self._leave(assigned)  # or aiokafka begins to read at the topic's start while the checkpoints are looked up
        await self._seek(assigned)
        with suppress(IllegalStateError):  # they are another projector's by now
            self._subscriber.consumer.resume(*(p for p in assigned if p.partition not in self._runner.stopped))
        self._watch.moved()
        self._assigned.set()

    async def handle(self, records: Records) -> None:
        began = monotonic()
        applied = await self.persist("applying events", partial(self._apply, records))
        if applied is None:
            return
        self.applied += applied.events
        # Also where nothing was applied: a new process would only read the same foreign records again.
        self._watch.moved()
        topic = records[0].topic
        self._leave({TopicPartition(topic, partition) for partition in applied.stopped})
        for partition, gap in applied.gaps.items():
            await self._close(TopicPartition(topic, partition), gap)
        if len(records) < GATHER_BELOW:
            await set_within(self._stop, GATHER_S - (monotonic() - began))

    async def watch(self, on_ready: Callable[[], None] | None) -> None:
        """Return when the role stops. Raises ProjectorStuck."""
        while not self._stop.is_set():
            if on_ready is not None and self._assigned.is_set():
                on_ready()
                on_ready = None
            await set_within(self._stop, subscribing.LOOK_EVERY_S if on_ready is None else 0.02)
            if not self._waiting and await self._watch.stuck(self._subscriber.consumer, self._runner.stopped):
                raise ProjectorStuck(f"records lie ahead and none has come for {subscribing.STUCK_AFTER_S:.0f} s")

    async def persist(self, what: str, step: Callable[[], Result]) -> Result | None:
        """Run a step in the runner's thread until it works, with pauses from 0.1 to 30 s; None when the role stops."""
        seconds = FIRST_PAUSE_S
        while not (self._stop.is_set() or self._ended):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._thread, step)
            except psycopg.Error as error:
                log.warning("%s failed and is tried again: %s", what, error or type(error).__name__)
                seconds = min(seconds, AWAY_PAUSE_S)
            except Exception:  # a bug: going on would lose the batch, so it stays here, loudly
                log.exception("%s failed and is tried again", what)
            self._waiting = True
            await set_within(self._stop, seconds)
            self._waiting = False
            self._watch.moved()
            seconds = min(seconds * 2, LAST_PAUSE_S)
        return None

    def end(self) -> None:
        """End all retries, also where the role was not stopped."""
        self._ended = True

    async def close(self) -> None:
        """Close the connection and the thread. A thread that hangs ends with the process."""
        with suppress(TimeoutError):
            closed = asyncio.get_running_loop().run_in_executor(self._thread, self._runner.close)
            async with asyncio.timeout(CLOSE_S):
                await closed
        self._thread.shutdown(wait=False)

    def _apply(self, records: Records) -> Applied:
        connection = self._runner.connection()
        batches, faults = self._check.sift(connection, records)
        note(connection, records[0].topic, faults)
        if faults:
            log.error("%s records were left out, the first at offset %s: %s", len(faults), faults[0].offset, faults[0])
        self._spoilt |= {fault.partition for fault in faults}
        applied = self._runner.apply(batches)
        self.foreign += len(faults)
        self._spoilt -= {partition for partition, events in batches.items() if events} - applied.gaps.keys()
        for reason in applied.stopped.values():
            log.error("%s", reason)
        return applied

    async def _close(self, part: TopicPartition, gap: PositionGap) -> None:
        """Read again from the checkpoint, then from the start. If the gap stays, the topic lacks the events.

        Where a foreign record has the place of a missing event, the log is read at once.
        """
        position, times = self._gaps.get(part.partition, (0, 0))
        times = times + 1 if position == gap.got else 1
        self._gaps[part.partition] = (gap.got, times)
        if times > 2 or part.partition in self._spoilt:
            await self._read_log(part, gap)
            if times > 3:  # the log lacks them, too
                await set_within(self._stop, min(FIRST_PAUSE_S * 2**times, LAST_PAUSE_S))
            times = 1
        else:
            log.warning("%s; reading again from the %s", gap, "start" if times > 1 else "checkpoint")
        await self._seek({part}, from_start=times > 1)

    async def _read_log(self, part: TopicPartition, gap: PositionGap) -> None:
        """Apply the events that the topic lacks from the log, and raise the alarm."""
        log.error("%s; the topic lacks them, so they are read from the log", gap)
        reason = f"events {gap.expected} to {gap.got - 1} are not in the topic before event {gap.got}"
        fault = Fault(part.partition, MISSING, gap.offset or 0, gap.expected, reason)
        await self.persist("noting what the topic lacks", lambda: note(self._runner.connection(), part.topic, [fault]))

        def step() -> int:
            log_ = PostgresLog.within(self._runner.connection())
            return self._runner.apply_log(log_, part.partition, gap.got - 1)

        while applied := await self.persist("reading the log", step):
            self.applied += applied
            self._watch.moved()
        self._spoilt.discard(part.partition)

    async def _seek(self, parts: set[TopicPartition], *, from_start: bool = False) -> None:
        consumer: AIOKafkaConsumer | None = self._subscriber.consumer
        checkpoints = await self.persist("reading the checkpoints", self._runner.checkpoints)
        if consumer is None or checkpoints is None or not parts:
            return
        ends: dict[TopicPartition, int] = {}
        with suppress(KafkaError):
            ends = await consumer.end_offsets(parts)
        for part in parts:
            checkpoint = checkpoints.get(part.partition)
            after = checkpoint.kafka_offset if checkpoint and not from_start else None
            if after is not None and after >= ends.get(part, after + 1):
                log.warning("%s ends before the checkpoint; reading it from the start", part)
                after = None
            with suppress(IllegalStateError):  # it is another projector's by now
                consumer.seek(part, 0 if after is None else after + 1)
        self._leave({part for part in parts if part.partition in self._runner.stopped})

    def _leave(self, parts: set[TopicPartition]) -> None:
        with suppress(IllegalStateError):  # it is another projector's by now
            if parts and self._subscriber.consumer is not None:
                self._subscriber.consumer.pause(*parts)


@dataclass
class Counts:
    """The figures of a projector that has not begun."""

    applied: int = 0
    foreign: int = 0
    stopped: int = 0


def projector_metrics(shown: "Projection | Counts") -> RoleMetrics:
    """The figures of a projector."""
    foreign = "Records left out: not the log's events."
    return RoleMetrics(
        [
            Figure("counter", "scrip_projector_applied", "Events applied.", lambda: shown.applied),
            Figure("counter", "scrip_projector_foreign_records", foreign, lambda: shown.foreign),
            Figure(
                *("gauge", "scrip_projector_stopped_partitions", "Its partitions whose next event cannot be applied."),
                lambda: shown.stopped,
            ),
        ]
    )
