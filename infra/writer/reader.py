"""Answers questions from current states, on an event loop and without locks, beside a writer that commits."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, LiteralString

import psycopg

from domain.kernel.domain import Domain
from domain.kernel.execution import MoreDue
from domain.kernel.work import Key
from infra.disk import NOT_WATCHED, DiskWatch
from infra.log import statements
from infra.partitions import PLATFORM, partition_of, placed
from infra.turns import CALLER, Caller
from infra.wire import Wire
from infra.writer.ahead import Ahead
from infra.writer.fair_queue import FairQueue
from infra.writer.foresight import Foresight
from infra.writer.large import LargeStreams, StillLoading
from infra.writer.loading import MAX_LOOKS, NO_SCHEMA, Loader, Looked, tag_arguments
from infra.writer.questions import Needs, NotCached, Query, Question, Wanted, answers, needs_of
from infra.writer.submission import Answered, Current, OutcomeUnknown, Overloaded, StorageFull
from infra.writer.waiting import resolve

log = logging.getLogger(__name__)

MAX_WAITING = 20_000  # questions; more are turned away at once
MAX_TOGETHER = 50  # read for together
STRETCH_S = 0.003  # for which they are answered, while the loop does nothing else
CACHE_WEIGHT = 10_000  # what questions need of states is a fraction of what commands touch
FOLLOW_EVERY_S = 0.1  # how often an idle reader looks at what was written
RETRY_S = 0.1
REST = 1.0  # times as long as a little of what is due took to fold, until the next
AHEAD_KEPT = 200_000  # events that are folded before the log has them


@dataclass(slots=True)
class _Waiting:
    work: Wanted
    future: "asyncio.Future[Any]"
    caller: Caller
    size: int = 1
    whole: bool = False


class Reader:
    """Answers all who wait from one look at the log, which brings every cached state to the same moment.

    What is not cached is loaded first, by then perhaps newer than the rest; the look afterwards makes up for that. So
    an answer takes no transaction, and one statement where all is cached. `uri`: the login scrip_writer; `deadline_s`:
    seconds until a question is given up. For one event loop. `disk`: while it is full, a database that is away stays
    away, so nobody waits for it.
    """

    def __init__(
        self, uri: str, domain: Domain, deadline_s: float = 10.0, *, cache_weight: int = CACHE_WEIGHT,
        disk: DiskWatch = NOT_WATCHED,
    ) -> None:  # fmt: skip
        self._uri = uri
        self._disk = disk
        self._deadline_s = deadline_s
        self._large = LargeStreams(uri, domain)
        self._loader = Loader(domain, cache_weight, self._large)
        self._waiting: FairQueue[_Waiting] = FairQueue()
        self._work: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._wire: Wire | None = None
        self._partitions = 0
        self._looked = 0.0  # by the loop's clock
        self._time: datetime | None = None  # the database's, at the last look
        self._stopped = False
        self._folding: dict[Key, asyncio.Task[None]] = {}  # streams of which all that is due is folded ahead
        self._fold_turn = asyncio.Lock()
        self.answered = 0

    async def start(self) -> None:
        """Connect. Raises psycopg.OperationalError where the database is not to be had."""
        await self._connect()
        self._follow_later()

    async def stop(self) -> None:
        """End what runs; whoever still waits gets OutcomeUnknown."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._folding.values():
            task.cancel()
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])
        self._tell_all(OutcomeUnknown())
        await self._drop_connection()
        await asyncio.to_thread(self._large.stop)

    def share(self, large: LargeStreams) -> None:
        """Have large streams loaded by another's, which ends it. Before anything was asked."""
        self._loader.large = large

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the log."""
        return self._connection is not None and not self._connection.closed

    async def current(self, org: str, streams: Sequence[str], tags: Sequence[str] = ()) -> Current:
        """States and tagged events as they are now. Raises OutcomeUnknown, Overloaded, what came of unreadable ones."""
        current: Current = await self._answer_to(Query(org, tuple(streams), tuple(tags)))
        return current

    async def ask(self, org: str, question: Any) -> Answered:
        """The answer to a question as of now. Raises its Refusal; OutcomeUnknown, Overloaded."""
        answered: Answered = await self._answer_to(Question(org, question))
        return answered

    async def _answer_to(self, work: Wanted) -> Any:
        """The answer, where need be after a large stream was loaded, and what is due on a stream was folded.

        Others are answered meanwhile.
        """
        until = asyncio.get_running_loop().time() + self._deadline_s
        while True:
            try:
                return await self._ask(work, until)
            except MoreDue as more:
                await self._all_folded((work.org, more.stream), until)
            except StillLoading as large:
                await self._loaded(large.key, until)

    async def _loaded(self, key: Key, until: float) -> None:
        if self._loader.large is None:
            return
        loop, loaded = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(loaded.set)

        self._loader.large.when_loaded(key, tell)
        try:
            async with asyncio.timeout_at(until):
                await loaded.wait()
        except TimeoutError:
            raise OutcomeUnknown from None

    async def _all_folded(self, key: Key, until: float) -> None:
        """Wait until nothing is due on a stream that is not folded ahead."""
        task = self._folding.get(key)
        if task is None:
            if self._stopped:
                raise OutcomeUnknown
            task = self._folding[key] = asyncio.ensure_future(self._fold_ahead(key))
            task.add_done_callback(partial(self._has_folded, key))
        try:
            async with asyncio.timeout_at(until):
                await asyncio.shield(task)
        except TimeoutError:
            raise OutcomeUnknown from None
        except asyncio.CancelledError:
            if self._stopped:
                raise OutcomeUnknown from None
            raise

    async def _fold_ahead(self, key: Key) -> None:
        """Fold what is due on a stream, a little at a time, also where nobody waits for it any more.

        It goes on from where it was folded last, unless the log has taken another way since.
        """
        cache, kind = self._loader.cache(partition_of(key[0], self._partitions)), self._loader.domain.kind_of(key[1])
        more = True
        while more and key in cache.streams and self._time is not None:
            async with self._fold_turn:  # with its rest: however many are folded, others have their part of the loop
                began = monotonic()
                if key not in cache.streams:
                    return
                ahead = cache.ahead_of(key) or Ahead(cache.streams[key])
                more = ahead.fold(kind, max(self._time, cache.time or self._time))
                cache.ahead[key] = ahead
                self._trim_ahead()
                await asyncio.sleep(REST * (monotonic() - began))

    def _trim_ahead(self) -> None:
        """Keep what is folded ahead within its bound; what is oldest in the partition that has most of them gives."""
        caches = self._loader.caches.values()
        while sum(len(each.unwritten) for cache in caches for each in cache.ahead.values()) > AHEAD_KEPT:
            most = max(caches, key=lambda cache: len(cache.ahead))
            if len(most.ahead) == 1:
                return
            del most.ahead[next(iter(most.ahead))]

    def _has_folded(self, key: Key, task: "asyncio.Task[None]") -> None:
        del self._folding[key]
        if not task.cancelled() and task.exception() is not None:  # also where nobody waits for it any more
            log.debug("folding %s ahead failed", key, exc_info=task.exception())

    async def _ask(self, work: Wanted, until: float) -> Any:
        if self._stopped:
            raise Overloaded
        if not self.connected and self._disk.full:
            raise StorageFull
        loop = asyncio.get_running_loop()
        item = _Waiting(work, loop.create_future(), CALLER.get())
        self._waiting.put([item], MAX_WAITING)
        if self._work is None:
            self._work = loop.create_task(self._run())
        handle = loop.call_at(until, resolve, [(item.future, OutcomeUnknown())])
        try:
            return await item.future
        finally:
            handle.cancel()

    async def _run(self, *, follow: bool = False) -> None:
        try:
            if follow:
                await self._keep_up()
            await self._serve()
        except Exception:  # whoever waited is told by the deadline
            log.exception("the reader failed")
        finally:
            self._work = None

    async def _serve(self) -> None:
        """Answer until nobody waits. Whoever comes meanwhile is answered by the next look, never by one under way."""
        while self._waiting:
            items = [item for item, _ in self._waiting.take(MAX_TOGETHER).items if not item.future.done()]
            try:
                if items:
                    await self._answer(items)
            except asyncio.CancelledError:
                self._waiting.back(items)  # to be told by whoever stops
                raise
            except statements.LOST as error:
                log.warning("the log cannot be read: %s", error)
                self._waiting.back(items)
                await self._reconnect()
            self._loader.trim()

    async def _answer(self, items: list[_Waiting]) -> None:
        """Answer the items together; after a fault that is not the connection's, one by one."""
        try:
            found: Sequence[Any] = await self._read([item.work for item in items])
        except psycopg.errors.DiskFull as error:  # no room for a temporary file; the connection is whole
            log.warning("PostgreSQL's disk is full: %s", error)
            self._loader.forget()
            resolve([(item.future, StorageFull()) for item in items])
            return
        except statements.LOST:
            raise
        except Exception as error:
            self._loader.forget()
            if len(items) == 1:
                log.exception("a question failed")
                resolve([(items[0].future, error)])
                return
            for item in items:
                await self._answer([item])
            return
        self.answered += len(found)
        resolve(zip([item.future for item in items], found, strict=False))
        self._waiting.back(items[len(found) :], {item.caller for item in items[: len(found)]})

    def _tell_all(self, error: Exception) -> None:
        """Answer all who wait, each with such an error."""
        resolve([(item.future, error) for item in self._waiting])
        self._waiting = FairQueue()

    async def _read(self, works: Sequence[Wanted]) -> list[Current | Answered | Exception]:
        """The answers to the first of the questions, to as many as a stretch has time for."""
        needs = needs_of(self._loader.domain, works, self._partitions)
        loader, foresaw = self._loader, False
        for _ in range(MAX_LOOKS):
            await self._start_at_heads([each for each in needs.partitions if not loader.cache(each).known])
            await self._load(*loader.missing(needs.streams, needs.tags))
            looked = await self._look(needs.partitions)
            if looked.lost:
                continue
            try:
                return answers(loader, self._partitions, works, looked.time, monotonic() + STRETCH_S, self._folding)
            except NotCached as cold:
                if not foresaw:
                    await self._look_ahead(needs, looked.time)
                    foresaw = True
                await self._load_keys(cold.streams, cold.tags)
        raise OutcomeUnknown

    async def _look_ahead(self, needs: Needs, time: datetime) -> None:
        """Load what the questions will ask for, for all of them at once."""
        home = self._loader.cache(partition_of(PLATFORM, self._partitions))
        foresight = Foresight(self._loader, self._partitions, lambda stream: home.streams[PLATFORM, stream].state, time)
        for streams, tags in foresight.rounds(needs.asked):
            try:
                await self._load_keys(streams, tags)
            except statements.LOST:
                raise
            except Exception:  # whoever really needs what cannot be read is told when it is loaded for him alone
                log.debug("looking ahead failed", exc_info=True)
                return

    async def _load_keys(self, streams: Iterable[Key], tags: Iterable[Key]) -> None:
        await self._load(
            *self._loader.missing(
                [placed(key, self._partitions) for key in streams], [placed(key, self._partitions) for key in tags]
            )
        )

    async def _load(self, streams: dict[Key, int], tags: dict[Key, int]) -> None:
        loader = self._loader
        if streams:
            unusable = loader.keep_streams(
                streams, await self._rows(statements.STREAMS, *loader.stream_arguments(streams))
            )
            if unusable:
                found = await self._rows(statements.STREAMS, *loader.stream_arguments(unusable, NO_SCHEMA))
                loader.keep_streams(unusable, found)
        if tags:
            loader.keep_tags(tags, await self._rows(statements.TAGGED, *tag_arguments(tags)))

    async def _look(self, partitions: Sequence[int]) -> Looked:
        self._looked = asyncio.get_running_loop().time()
        looked = self._loader.follow(partitions, await self._rows(statements.LOOK, *self._loader.seen(partitions)))
        self._time = looked.time
        return looked

    async def _start_at_heads(self, partitions: Sequence[int]) -> None:
        if partitions:
            self._loader.start_at(partitions, await self._rows(statements.HEADS, partitions))

    async def _rows(self, query: LiteralString, *arguments: Any) -> list[Any]:
        if self._wire is None:
            raise psycopg.OperationalError("not connected")
        return await self._wire.rows(query, *arguments)

    def _follow_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(FOLLOW_EVERY_S, self._follow)

    def _follow(self) -> None:
        """When nobody asks: keep up with what is written, and notice a broken connection early."""
        loop = asyncio.get_running_loop()
        if self._work is None and loop.time() - self._looked >= FOLLOW_EVERY_S:
            self._work = loop.create_task(self._run(follow=True))
        self._follow_later()

    async def _keep_up(self) -> None:
        try:
            await self._look(self._loader.known(sorted(self._loader.caches)))
        except statements.LOST as error:
            log.warning("the log cannot be read: %s", error)
            await self._reconnect()
        except Exception:  # such as an event of a newer version: whoever needs its stream is told
            log.exception("the log cannot be followed")
            self._loader.forget()

    async def _connect(self) -> None:
        connection = await statements.connect_async(self._uri, "scrip-reader")
        try:
            row = await (await connection.execute("select partitions from log")).fetchone()
            if row is None:
                raise psycopg.OperationalError("the database has no log yet: run the migrations first")
        except BaseException:
            await connection.close()
            raise
        self._connection, self._wire, self._partitions = connection, Wire(connection), int(row[0])

    async def _reconnect(self) -> None:
        await self._drop_connection()
        await asyncio.sleep(RETRY_S)
        try:
            await self._connect()
        except psycopg.Error as error:
            log.warning("the log cannot be reached: %s", error)
            if self._disk.full:
                self._tell_all(StorageFull())

    async def _drop_connection(self) -> None:
        self._loader.forget()
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()
