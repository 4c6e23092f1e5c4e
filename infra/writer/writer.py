"""The writer: a thread that takes whatever waits and commits it as one batch, over and over."""

import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from time import monotonic
from types import TracebackType
from typing import Any, Self

import psycopg

from domain.kernel.domain import Domain
from infra import pulse
from infra.disk import NOT_WATCHED, DiskWatch
from infra.log import statements
from infra.log.statements import Connection
from infra.wire.pipeline import Pipeline
from infra.writer.batch import Batch, Result, Unit
from infra.writer.catching_up import catch_up
from infra.writer.counters import Counters
from infra.writer.loading import Loader
from infra.writer.submission import OutcomeUnknown, Overloaded, StorageFull, Submission
from infra.writer.waiting import Waiting, deliver

log = logging.getLogger(__name__)

MAX_WAITING = 20_000  # submissions in the queue; more are turned away at once
CACHE_WEIGHT = 40_000  # streams, tags, holds and grants that one process keeps: some 70 MB
FOLLOW_EVERY_S = 0.1  # how often an idle writer looks at what others have written
RETRY_FIRST_S, RETRY_LAST_S = 0.05, 2.0


class Writer:
    """Commits commands of all partitions through one connection; as a context manager it starts and stops itself.

    `uri`: the login scrip_writer. `domain`: how commands are decided. `max_batch`: commands in one transaction. Any
    number of writers, in any number of processes, may write to the same log at the same time. `disk`: commands are
    refused while it is full.
    """

    def __init__(
        self, uri: str, domain: Domain, *, max_batch: int = 1000, cache_weight: int = CACHE_WEIGHT,
        disk: DiskWatch = NOT_WATCHED,
    ) -> None:  # fmt: skip
        self._uri = uri
        self.disk = disk
        self._max_batch = max_batch
        self._loader = Loader(domain, cache_weight)
        self._queue: deque[Waiting] = deque()
        self._waiting = 0
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
        return self._waiting

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
        size = items[0].size if len(items) == 1 else sum(item.size for item in items)
        with self._ready:
            if self._stopping or self._waiting + size > MAX_WAITING:
                raise Overloaded
            self._queue.extend(items)
            self._waiting += size
            self._ready.notify()

    def _run(self) -> None:
        while True:
            self._step_at = None
            items = self._take()
            if items is None:
                break
            self._step_at = monotonic()
            try:
                if items:
                    self._serve(items)
                else:
                    self._follow()
            except Exception:  # the thread must outlive any fault; whoever waited has been told
                log.exception("the writer failed on a batch")
        for item in self._queue:
            deliver([(item, OutcomeUnknown())])
        if self._connection is not None:
            self._connection.close()

    def _take(self) -> list[Waiting] | None:
        """What waits, up to a batch; an empty list when it is time to follow the log; none to stop."""
        with self._ready:
            if not self._queue and not self._stopping:
                self._ready.wait(FOLLOW_EVERY_S)
            if self._stopping:
                return None
            items: list[Waiting] = []
            size = 0
            while self._queue and size < self._max_batch:
                items.append(self._queue.popleft())
                size += items[-1].size
            self._waiting -= size
        now = monotonic()
        late = [item for item in items if item.deadline < now]
        if late:
            deliver([(item, OutcomeUnknown()) for item in late])
            items = [item for item in items if item.deadline >= now]
        return items

    def _serve(self, items: list[Waiting]) -> None:
        started, size = monotonic(), sum(item.size for item in items)
        self._answer(items)
        self._loader.trim()
        self.counters.committed(self._batch)
        self.counters.batch(size, monotonic() - started)

    def _answer(self, items: list[Waiting]) -> None:
        """Run the items as one batch; after a fault that is not the connection's, one by one."""
        pause = RETRY_FIRST_S
        while items:
            try:
                results: Sequence[Any] = self._attempt(items)
            except psycopg.errors.DiskFull as error:  # a kind of LOST, but the connection is whole
                self._refuse(items, error)
                return
            except statements.LOST as error:
                # The commit may have gone through. The next attempt, on a new connection, waits for the partition's
                # lock and so for the end of this one; then the idempotency rows tell.
                self._lost(items, error)
                items = self._wait_for_connection(items, pause)
                pause = min(pause * 2, RETRY_LAST_S)
            except Exception as error:
                self._roll_back()
                if len(items) == 1:
                    deliver([(items[0], error)])
                    raise
                for item in items:
                    try:
                        self._answer([item])
                    except Exception:  # told to the one who waits; the others go on
                        log.exception("a command failed")
                return
            else:
                done: list[Waiting] = []
                rest: list[Waiting] = []
                for item, row in zip(items, results, strict=True):
                    (done if item.done(row) else rest).append(item)
                deliver([(item, item.results) for item in done])
                self._put_back(rest)
                return

    def _put_back(self, items: list[Waiting]) -> None:
        """Let what waits for more slices of time be the first of the next batch, with all who have come since."""
        if items:
            with self._ready:
                self._queue.extendleft(reversed(items))
                self._waiting += sum(item.size for item in items)

    def _attempt(self, items: list[Waiting]) -> Sequence[Any]:
        self._step_at = monotonic()
        if self._connection is None or self._connection.closed:
            raise psycopg.OperationalError("not connected")
        return self._batch.run([item.work for item in items])

    def _refuse(self, items: list[Waiting], error: Exception) -> None:
        """Answer at once: PostgreSQL has taken the batch back, and another attempt would find no more room."""
        log.warning("PostgreSQL's disk is full: %s", error)
        self._roll_back()
        deliver([(item, OutcomeUnknown() if _attempted(item) else StorageFull()) for item in items])

    def _lost(self, items: list[Waiting], error: Exception) -> None:
        log.warning("the connection to the log failed: %s", error)
        self.counters.failures += 1
        for item in items:
            for submission in item.work.submissions:
                submission.attempted = True
        self._drop_connection()

    def _wait_for_connection(self, items: list[Waiting], pause: float) -> list[Waiting]:
        """Reconnect; those whose deadline passes meanwhile are told that the outcome is unknown.

        Where the disk is full, all are told so at once: PostgreSQL comes back when there is room.
        """
        while not self._stopping and not self.disk.look():
            self._step_at = now = monotonic()
            deliver([(item, OutcomeUnknown()) for item in items if item.deadline < now])
            items = [item for item in items if item.deadline >= now]
            if not items:
                return []
            with self._ready:
                self._ready.wait_for(lambda: self._stopping, pause)
            try:
                self._connect()
            except psycopg.Error as error:
                log.warning("the log cannot be reached: %s", error)
                pause = min(pause * 2, RETRY_LAST_S)
            else:
                return items
        deliver([(item, OutcomeUnknown()) for item in items])
        return []

    def _connect(self) -> None:
        connection = statements.connect(self._uri, "scrip-writer")
        row = connection.execute("select partitions from log").fetchone()
        if row is None:
            raise psycopg.OperationalError("the database has no log yet: run the migrations first")
        self._connection, self._partitions = connection, int(row[0])
        self._pipeline = Pipeline(connection)
        self._batch = Batch(self._pipeline, self._loader, self._partitions)

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
    """Whether an earlier attempt may have committed it."""
    return any(submission.attempted for submission in item.work.submissions)
