"""The writer: a thread that takes whatever waits and commits it as one batch, over and over."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain, repeat
from math import inf
from threading import Condition, Thread
from time import monotonic
from types import TracebackType
from typing import Any, Self

import psycopg

from domain.kernel.domain import Domain
from domain.kernel.work import Key
from infra import pulse
from infra.disk import NOT_WATCHED, DiskWatch
from infra.log import statements
from infra.log.postgres import PostgresLog
from infra.log.statements import Connection
from infra.turns import Caller
from infra.wire import Pipeline
from infra.writer.batch import Batch, Held, Result, Unit
from infra.writer.catching_up import catch_up
from infra.writer.counters import Counters
from infra.writer.fair_queue import TURN, FairQueue, Taken
from infra.writer.held_up import HeldUp
from infra.writer.large import LargeStreams
from infra.writer.loading import Loader
from infra.writer.submission import OutcomeUnknown, Overloaded, StorageFull, Submission
from infra.writer.waiting import Waiting, deliver

log = logging.getLogger(__name__)

MAX_WAITING = 20_000  # submissions in the queue; more are turned away at once
CACHE_WEIGHT = 40_000  # streams, tags, holds and grants that one process keeps: some 70 MB
FOLLOW_EVERY_S = 0.1  # how often an idle writer looks at what others have written
RETRY_FIRST_S, RETRY_LAST_S = 0.05, 2.0
SHARED_S = 0.002  # of deciding, after which a batch ends where others would have to wait for its rest
MOSTLY_ONES_S = 0.001  # the same where one caller has most of it: others come one by one, and each would wait so long
BACKGROUND_S = 0.01  # the same in a process for whose commands nobody waits
REST = 4.0  # times as long as a slice of what is due took, until the next one of the stream
REST_OF_CALLER = 3.0  # times as long as a batch took that was mostly its own
LONGEST_REST_S = 1.0
PATIENCE_S = 0.5  # after which it is written although others wait
LEAST_BATCH = 16  # commands that are looked up together, however few were decided before a batch was ended

ALONE_S = 1.0  # without commands of others, after which batches may grow again

Parts = list[tuple[Waiting, int]]  # each with how many of its submissions


class Writer:
    """Commits commands of all partitions through one connection; as a context manager it starts and stops itself.

    `uri`: the login scrip_writer. `domain`: how commands are decided. `max_batch`: commands in one transaction. Any
    number of writers, in any number of processes, may write to the same log at the same time. `disk`: commands are
    refused while it is full. `background`: nobody waits for its commands, so it rests after each batch for as long as
    that took, and other processes get the locks.
    """

    def __init__(
        self, uri: str, domain: Domain, *, max_batch: int = 1000, cache_weight: int = CACHE_WEIGHT,
        disk: DiskWatch = NOT_WATCHED, background: bool = False,
    ) -> None:  # fmt: skip
        self._uri = uri
        self._background = background
        self.disk = disk
        self._max_batch = max_batch
        self.large = LargeStreams(uri, domain)
        self._loader = Loader(domain, cache_weight, self.large)
        self._queue: FairQueue[Waiting] = FairQueue()
        self._held = HeldUp()
        self._most = max_batch  # of the next batch
        self._last: Caller | None = None  # who had most of the last batch
        # When it was another one than before, or there were others in a batch; the same of its organisation.
        self._others_at = self._other_orgs_at = -inf
        self._shared_at = -ALONE_S  # when a batch was last of several callers, or was cut for others
        self._ready = Condition()
        self._stopping = False
        self._thread = Thread(target=self._run, name="writer", daemon=True)
        self._connection: Connection | None = None
        self._partitions = 0
        self._step_at: float | None = None  # since when the thread is at what it does; none while it waits for work
        self.counters = Counters()

    def start(self) -> None:
        """Connect and begin. Raises psycopg.OperationalError where the database is not to be had."""
        self._connect()
        self._thread.start()
        pulse.watch(self)

    def stop(self) -> None:
        """Finish the batch that runs; whoever still waits gets OutcomeUnknown."""
        with self._ready:
            self._stopping = True
            self._ready.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        self.large.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def partitions(self) -> int:
        """How many partitions the log has."""
        return self._partitions

    @property
    def connected(self) -> bool:
        """Whether the writer has a connection to the log."""
        return self._connection is not None and not self._connection.closed

    def still_s(self) -> float:
        """For how many seconds the thread has been at one attempt; 0 where it waits for work."""
        step_at = self._step_at
        return monotonic() - step_at if step_at is not None else 0.0

    @property
    def depth(self) -> int:
        """Submissions that wait."""
        return self._queue.size + self._held.size

    def submit(
        self, submissions: Sequence[Submission], *, atomic: bool = False, timeout_s: float = 30.0
    ) -> "Future[list[Result]]":
        """Hand in commands from a thread. The future fails with Overloaded, OutcomeUnknown or the decision's bug."""
        future: Future[list[Result]] = Future()
        self.enqueue([Waiting(unit, future, None, monotonic() + timeout_s) for unit in [Unit(submissions, atomic)]])
        return future

    def enqueue(self, items: Sequence[Waiting]) -> None:
        """Put waiting work into the queue. Raises Overloaded where it is full or the writer stops, StorageFull."""
        if self.disk.full:
            raise StorageFull
        with self._ready:
            if self._stopping:
                raise Overloaded
            self._queue.put(items, MAX_WAITING - self._held.size)
            if self._queue:  # of others than those that rest
                self._ready.notify()

    def _run(self) -> None:
        while True:
            self._step_at = None
            taken = self._take()
            if taken is None:
                break
            self._step_at = monotonic()
            try:
                if taken.items:
                    self._serve(taken)
                else:
                    self._follow()
            except Exception:  # the thread must outlive any fault; whoever waited has been told
                log.exception("the writer failed on a batch")
        deliver([(item, OutcomeUnknown()) for item in (*self._queue, *self._held)])
        if self._connection is not None:
            self._connection.close()

    def _take(self) -> Taken[Waiting] | None:
        """What waits, up to a batch; nothing when it is time to follow the log; none to stop."""
        with self._ready:
            now = monotonic()
            until = now + FOLLOW_EVERY_S
            while True:
                if self._stopping:
                    return None
                awake_at = self._queue.wake(now)
                late = self._go_on(now) if self._held else []
                if self._queue or late or now >= until:
                    break
                self._ready.wait(min(until, awake_at, self._held.next_at) - now)
                now = monotonic()
            taken = self._queue.take(self._most)
        if late or any(item.deadline < now for item, _ in taken.items):
            self._end([(item, OutcomeUnknown()) for item, _ in taken.items if item.deadline < now])
            self._end([(item, OutcomeUnknown()) for item in late])
            taken = taken._replace(items=[each for each in taken.items if each[0].deadline >= now])
        return taken

    def _go_on(self, now: float) -> list[Waiting]:
        """Put those back into the queue who may write the next slice of what is due; returns those who are late.

        Only while nobody else waits, or has for long: of all that a writer does this is the least urgent.
        """
        late = self._held.late(now)
        for item in self._held.take(now if not self._queue else now - PATIENCE_S):
            self._queue.back([item], (item.caller,))
        return late

    def _end(self, pairs: Sequence[tuple[Waiting, Any]]) -> None:
        """Answer, and let those go on who waited for the same stream."""
        deliver(pairs)
        if self._held:
            with self._ready:
                for item, _ in pairs:
                    self._go_after(item)

    def _go_after(self, item: Waiting) -> None:
        for other in self._held.ended(item):
            self._queue.back([other], (other.caller,))

    def _has_loaded(self, key: Key) -> None:
        """Called by the thread that loads large streams."""
        with self._ready:
            for item in self._held.free(key):
                self._queue.back([item], (item.caller,))
            self._ready.notify()

    def _serve(self, taken: Taken[Waiting]) -> None:
        started = monotonic()
        decided = self._answer(taken)
        self._loader.trim()
        self._resize(taken, decided)
        self.counters.committed(self._batch)
        self.counters.batch(decided, seconds := monotonic() - started)
        self._let_rest(taken, seconds)
        if self._background:
            with self._ready:
                self._ready.wait_for(lambda: self._stopping, seconds)

    def _let_rest(self, taken: Taken[Waiting], seconds: float) -> None:
        """Who had most of a batch leaves the writer to others for a while, if there are others.

        That is a login; where an organisation had most of it by many logins, all that were in the batch.
        """
        logins = _sizes(taken)
        orgs: dict[str, int] = {}
        for (org, _), size in logins.items():
            orgs[org] = orgs.get(org, 0) + size
        now = monotonic()
        last, (org, login) = self._last, max(logins, key=lambda each: logins[each])
        if len(logins) > 1 or last not in (None, (org, login)):
            self._others_at = now
        if len(orgs) > 1 or (last is not None and last[0] != org):
            self._other_orgs_at = now
        self._last = (org, login)
        whole, resting = sum(logins.values()), []
        if now - self._others_at <= ALONE_S and _is_most(logins[org, login], whole):
            resting = [(org, login)]
        elif now - self._other_orgs_at <= ALONE_S and _is_most(orgs[org], whole):
            resting = [each for each in logins if each[0] == org]
        if resting:
            with self._ready:
                for caller in resting:
                    self._queue.rest(caller, now + min(REST_OF_CALLER * seconds, LONGEST_REST_S))

    def _resize(self, taken: Taken[Waiting], decided: int) -> None:
        """While others come, batches are small: each command has its rows looked for before any is decided."""
        cut = self._batch.cut and decided < sum(size for _, size in taken.items)
        now = monotonic()
        if cut or taken.caller is None:
            self._shared_at = now
        if cut:
            self._most = min(self._max_batch, max(LEAST_BATCH, 2 * decided))
            self.counters.cut_batches += 1
        elif now - self._shared_at > ALONE_S:
            self._most = min(self._max_batch, 2 * self._most)

    def _answer(self, taken: Taken[Waiting]) -> int:
        """Run what is taken as one batch; after a fault that is not the connection's, one by one.

        Returns how many commands were decided.
        """
        pause, parts = RETRY_FIRST_S, taken.items
        while parts:
            try:
                results = self._attempt(taken._replace(items=parts))
            except psycopg.errors.DiskFull as error:  # a kind of LOST, but the connection is whole
                self._refuse(parts, error)
                break
            except statements.LOST as error:
                # The commit may have gone through. The next attempt, on a new connection, waits for the partition's
                # lock and so for the end of this one; then the idempotency rows tell.
                self._lost(parts, error)
                parts = self._wait_for_connection(parts, pause)
                pause = min(pause * 2, RETRY_LAST_S)
            except Exception as error:
                self._roll_back()
                if len(parts) == 1:
                    self._end([(parts[0][0], error)])
                    raise
                return self._answer_each(taken, parts)
            else:
                return self._conclude(parts, results)
        return 0

    def _answer_each(self, taken: Taken[Waiting], parts: Parts) -> int:
        decided = 0
        for part in parts:
            try:
                decided += self._answer(taken._replace(items=[part]))
            except Exception:  # told to the one who waits; the others go on
                log.exception("a command failed")
        return decided

    def _conclude(self, parts: Parts, results: Sequence[Sequence[Result]]) -> int:
        """Answer those of whom all is done, and put the others back; returns how many commands are done."""
        ended: list[tuple[Waiting, Any]] = []
        left: list[Waiting] = []
        held: list[tuple[Waiting, Held]] = []
        for index, ((item, _), row) in enumerate(zip(parts, chain(results, repeat(())), strict=False)):
            if item.size == len(row) and not item.results:
                ended.append((item, row))
            elif item.done(row):
                ended.append((item, item.results))
            elif index in self._batch.held:
                held.append((item, self._batch.held[index]))
            else:
                left.append(item)
        self._end(ended)
        if left:
            served = {item.caller for (item, _), _ in zip(parts, results, strict=False)}
            with self._ready:
                self._queue.back(left, served)
        if held:
            self._hold_up(held)
        return sum(map(len, results))

    def _hold_up(self, held: Sequence[tuple[Waiting, Held]]) -> None:
        """Have commands wait for their streams. After a slice others have the writer for some times as long."""
        now = monotonic()
        rest = REST * (now - (self._step_at or now))
        with self._ready:
            for item, (key, loading) in held:
                if self._held.first_of(item) not in (None, key):
                    self._go_after(item)
                self._held.put(item, key, inf if loading else now + rest)
        for key in {key for _, (key, loading) in held if loading}:
            self.large.when_loaded(key, partial(self._has_loaded, key))

    def _attempt(self, taken: Taken[Waiting]) -> Sequence[Sequence[Result]]:
        self._step_at = monotonic()
        if self._connection is None or self._connection.closed:
            raise psycopg.OperationalError("not connected")
        units = [item.part(size) for item, size in taken.items]
        with self._ready:
            resting = self._held.resting() if self._held else ()
        return self._batch.run(units, taken.least, partial(self._enough, taken.caller, _slice_s(taken)), resting)

    def _enough(self, caller: Caller | None, slice_s: float, seconds: float) -> bool:
        """Whether others would have to wait for the rest of a batch. `caller`: whose all of it is, if there is one."""
        if self._background:
            return seconds > BACKGROUND_S
        return seconds > slice_s and (caller is None or self._queue.others(caller))

    def _refuse(self, parts: Parts, error: Exception) -> None:
        """Answer at once: PostgreSQL has taken the batch back, and another attempt would find no more room."""
        log.warning("PostgreSQL's disk is full: %s", error)
        self._roll_back()
        self._end([(item, OutcomeUnknown() if _attempted(item) else StorageFull()) for item, _ in parts])

    def _lost(self, parts: Parts, error: Exception) -> None:
        log.warning("the connection to the log failed: %s", error)
        self.counters.failures += 1
        for item, size in parts:
            for submission in item.part(size).submissions:
                submission.attempted = True
        self._drop_connection()

    def _wait_for_connection(self, parts: Parts, pause: float) -> Parts:
        """Reconnect; those whose deadline passes meanwhile are told that the outcome is unknown.

        Where the disk is full, all are told so at once: PostgreSQL comes back when there is room.
        """
        while not self._stopping and not self.disk.look():
            self._step_at = now = monotonic()
            self._end([(item, OutcomeUnknown()) for item, _ in parts if item.deadline < now])
            parts = [each for each in parts if each[0].deadline >= now]
            if not parts:
                return []
            with self._ready:
                self._ready.wait_for(lambda: self._stopping, pause)
            try:
                self._connect()
            except psycopg.Error as error:
                log.warning("the log cannot be reached: %s", error)
                pause = min(pause * 2, RETRY_LAST_S)
            else:
                return parts
        self._end([(item, OutcomeUnknown()) for item, _ in parts])
        return []

    def _connect(self) -> None:
        connection = statements.connect(self._uri, "scrip-writer")
        log_ = PostgresLog.within(connection, self._loader.codec)
        self._connection, self._partitions = connection, log_.partitions
        self._pipeline = Pipeline(connection)
        self._batch = Batch(log_, self._pipeline, self._loader)

    def _drop_connection(self) -> None:
        self._loader.forget()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _roll_back(self) -> None:
        """End the failed transaction; if even that fails, the connection is of no use."""
        self._loader.forget()
        try:
            if self._connection is not None:
                with self._pipeline:  # psycopg would forget all prepared statements with it
                    self._pipeline.execute("rollback")
        except psycopg.Error:
            self._drop_connection()

    def _follow(self) -> None:
        """When nothing waits: keep up with what other processes write, and notice a broken connection early."""
        try:
            if self._connection is None:
                self._connect()
            elif known := self._loader.known(sorted(self._loader.caches)):
                catch_up(self._pipeline, self._loader, known)
        except psycopg.Error as error:
            log.warning("the log cannot be followed: %s", error)
            self._drop_connection()
        except Exception:
            # Such as an event of a newer version: whoever needs its stream is told; until then it is said once.
            self._loader.forget()
            raise


def _attempted(item: Waiting) -> bool:
    """Whether an earlier attempt may have committed it, or a part of it is done."""
    return bool(item.results) or any(submission.attempted for submission in item.work.submissions)


def _sizes(taken: Taken[Waiting]) -> dict[Caller, int]:
    """How much of what is taken each login has."""
    if taken.caller is not None:
        return {taken.caller: sum(size for _, size in taken.items)}
    logins: dict[Caller, int] = {}
    for item, size in taken.items:
        logins[item.caller] = logins.get(item.caller, 0) + size
    return logins


def _is_most(size: int, whole: int) -> bool:
    """Whether `size` commands of one caller delay others: over half of a batch of `whole`, and not just a few."""
    return size >= TURN and size * 2 > whole


def _slice_s(taken: Taken[Waiting]) -> float:
    """For how long a batch is decided where others would have to wait for its rest."""
    if taken.caller is not None:
        return MOSTLY_ONES_S
    logins = _sizes(taken)
    return MOSTLY_ONES_S if _is_most(max(logins.values()), sum(logins.values())) else SHARED_S
