"""The relay of a database: one active process, one reader for all partitions, one lane for each."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import psycopg
import structlog

from infra.postgres.lease import LeaseLost
from infra.relay.disagreement import LogGap, TopicDisagrees
from infra.relay.lane import Lane
from infra.relay.source import MAX_EVENTS, Source, Stop
from infra.waits import end_tasks, set_within

SHORTEST_POLL_S = 0.08
LONGEST_POLL_S = 0.08
STANDBY_POLL_S = 0.25
RECONNECT_S = 0.5
HEADS_S = 1.0  # between two looks at how far the log is, for `lag`

_log = structlog.get_logger("scrip.relay")


class Relay:
    """Publishes every committed event of a log, in order and exactly once for `read_committed` readers.

    For metrics: `active` (false on standby), `ready` (every partition has its producer), `published` (events since
    the start), `positions` (partition -> last position in the topic), `lag` (events not yet there, at most a second
    old), `restarts` (producers thrown away), `errors` (partition -> why it does not publish just now), `stops` (the
    partitions that are stopped, as in the table relay_stops).
    """

    def __init__(self, uri: str, kafka: Mapping[str, Any], topic: str, prefix: str = "") -> None:
        """`uri` of the login scrip_relay, `kafka` as of `kafka_arguments`, the ledger's `topic` with its prefix.

        `prefix` begins the transactional ids, so that several deployments can share a broker.
        """
        self._uri = uri
        self._kafka = dict(kafka)
        self._topic = topic
        self._prefix = prefix
        self._poke = asyncio.Event()
        self._lanes: list[Lane] = []
        self._past = 0  # what lanes of earlier sessions published
        self._past_restarts = 0
        self._noted: dict[int, Stop | None] = {}  # what relay_stops has
        self.active = False
        self.lag = 0

    @property
    def ready(self) -> bool:
        return self.active and bool(self._lanes) and all(lane.position is not None for lane in self._lanes)

    @property
    def published(self) -> int:
        return self._past + sum(lane.published for lane in self._lanes)

    @property
    def restarts(self) -> int:
        return self._past_restarts + sum(lane.restarts for lane in self._lanes)

    @property
    def positions(self) -> dict[int, int]:
        return {lane.partition: lane.position for lane in self._lanes if lane.position is not None}

    @property
    def errors(self) -> dict[int, str]:
        return {lane.partition: lane.error for lane in self._lanes if lane.error}

    @property
    def stops(self) -> list[Stop]:
        return [stop for lane in self._lanes if (stop := lane.stop_now) is not None] if self.active else []

    def wake(self) -> None:
        """Look for new events at once: a hint from a writer in the same event loop, never needed."""
        self._poke.set()

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
        """Relay until `stop` is set; the transactions under way are completed.

        Waits as a standby while another relay is active, and heals whatever PostgreSQL or Kafka do. `on_ready` is
        called once: when every partition is ready, or when the relay is a standby. Raises TopicDisagrees and LogGap,
        after which an operator must decide.
        """
        ready = _Once(on_ready)
        stopped = asyncio.ensure_future(stop.wait())
        stopped.add_done_callback(lambda _: self._poke.set())
        try:
            while not stop.is_set():
                try:
                    async with await Source.connect(self._uri) as source:
                        await self._session(source, stop, ready)
                except LeaseLost as error:
                    _log.warning("relay.standby", reason=str(error))
                except (psycopg.Error, TimeoutError, LookupError) as error:
                    _log.warning("relay.database_lost", error=f"{type(error).__name__}: {error}")
                    await set_within(stop, RECONNECT_S)
        finally:
            stopped.cancel()

    async def _session(self, source: Source, stop: asyncio.Event, ready: "_Once") -> None:
        lease = await source.lease()
        while not await lease.take():
            ready()
            if await set_within(stop, STANDBY_POLL_S):
                return
        log = source.log
        _log.info("relay.active", epoch=lease.epoch, log=log.id, partitions=log.partitions, topic=self._topic)
        self._lanes = [
            Lane(source, self._kafka, self._topic, self._prefix, partition, self._poke.set)
            for partition in range(log.partitions)
        ]
        self._noted = dict.fromkeys(await source.stops())
        self.active = True
        try:
            work = _together(self._read(source, stop, ready), *(lane.run() for lane in self._lanes))
            await lease.while_held(work)
        except (TopicDisagrees, LogGap) as error:
            with suppress(psycopg.Error, TimeoutError):
                await source.note_stops([Stop(error.partition, error.position, str(error), refused=True)], [])
            raise
        finally:
            self.active = False
            self._past, self._past_restarts = self.published, self.restarts
            for lane in self._lanes:
                lane.published = lane.restarts = 0

    async def _read(self, source: Source, stop: asyncio.Event, ready: "_Once") -> None:
        """Keep the lanes filled, and stop them at the end."""
        pause = SHORTEST_POLL_S
        heads_at = 0.0
        try:
            while not stop.is_set():
                self._poke.clear()
                if self.ready:
                    ready()
                wanted = {lane.partition: last for lane in self._lanes if (last := lane.wants) is not None}
                found = await source.after(wanted) if wanted else {}
                for partition, events in found.items():
                    self._lanes[partition].fill(wanted[partition], events)
                if time.monotonic() - heads_at >= HEADS_S:
                    heads_at = time.monotonic()
                    heads = await source.heads()
                    self.lag = sum(heads[lane.partition] - (lane.position or 0) for lane in self._lanes)
                    await self._note_stops(source)
                pause = SHORTEST_POLL_S if found else min(1.3 * pause, LONGEST_POLL_S)
                if not any(len(events) == MAX_EVENTS for events in found.values()):
                    await asyncio.sleep(SHORTEST_POLL_S)  # however often it is poked: looking costs the database
                await set_within(self._poke, pause)
        finally:  # also where a lane failed, for a library may have swallowed another's cancellation
            for lane in self._lanes:
                lane.stop()

    async def _note_stops(self, source: Source) -> None:
        """Write to the database which partitions have stopped, and which go on again."""
        stops = {stop.partition: stop for stop in self.stops}
        new = [stop for partition, stop in stops.items() if self._noted.get(partition) != stop]
        going = [lane.partition for lane in self._lanes if lane.partition in self._noted and not lane.error]
        going = [partition for partition in going if self._lanes[partition].position is not None]
        if new or going:
            await source.note_stops(new, going)
            self._noted.update(stops)
            for partition in going:
                del self._noted[partition]


class _Once:
    """Calls something the first time, if there is something."""

    def __init__(self, call: Callable[[], None] | None) -> None:
        self._call = call

    def __call__(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


async def _together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all until they return; the first exception ends the others and is raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        await end_tasks(tasks)
