"""The role `scrip sweeper`: writes what is due on streams that are not in use, so that every reader sees it.

It also deletes rows that have done their work. Every decision lets time pass first, so correctness never depends on
this role: it may be late, run twice or not at all.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

import psycopg
from psycopg_pool import AsyncConnectionPool

from domain.kernel.domain import Domain, LetTimePass
from infra.disk import disk_watch
from infra.postgres.session import options as session_options
from infra.role_metrics import Figure, RoleMetrics, metrics_served
from infra.settings import Settings
from infra.waits import repeat
from infra.writer.ledger import Ledger
from infra.writer.metrics import writer_metrics
from infra.writer.submission import OutcomeUnknown, Overloaded, Submission
from infra.writer.writer import Writer

KEPT = timedelta(days=90)  # rows that have done their work
DELETE_EVERY_S = 3_600.0
SLICE = 10_000  # rows in one statement

# What still waits for something stays, and so does the newest audit: it says when there was one.
_ENDED = (
    ("deliveries", "status <> 'pending' and at"),
    ("quarantine", "resolved_at"),
    ("audits", "id < (select max(id) from audits) and ended_at"),
)
_DELETES = tuple(
    f"delete from {table} where id in (select id from {table} where {ended} < scrip_now() - %b::interval limit {SLICE})"
    for table, ended in _ENDED
)


class Leftovers:
    """Deletes once an hour. `pool`: login scrip_writer, autocommit."""

    def __init__(self, pool: "AsyncConnectionPool[Any]") -> None:
        self._pool = pool
        self._deleted_at: float | None = None

    async def delete(self) -> int:
        """Delete what is due, if an hour has passed since the last time; how many rows. Raises psycopg.Error.

        One slice of each table in a call: what is left is deleted by the next one.
        """
        if self._deleted_at is not None and monotonic() - self._deleted_at < DELETE_EVERY_S:
            return 0
        counts = []
        for statement in _DELETES:
            async with self._pool.connection() as connection:
                counts.append((await connection.execute(statement.encode(), (KEPT,))).rowcount)
        if max(counts) < SLICE:
            self._deleted_at = monotonic()
        return sum(counts)


log = logging.getLogger(__name__)

TIME = "system:sweeper"  # the actor of what time alone brought about

EVERY_S = 1.0
PAGE = 1_000
LAST_PAUSE_S = 5.0
LONG_S = 1.0  # a sweep waits no longer when time has not passed on any further stream for so long
MANY = 100  # rows of one stream in a page; if they are still shown when it was swept, they are read no more
MOST_LEFT_OUT = 20  # streams
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class Source(NamedTuple):
    """Rows of a read model on which something ends or begins by time alone. All but `table` is SQL."""

    table: str
    stream: str  # on which it happens
    moment: str
    waits: str  # which rows still wait for it; an index of `moment` has this condition, or a part of it


class Due(NamedTuple):
    """A stream of an organisation on which time has something to do."""

    org: str
    stream: str


class Sweeper:
    """Finds due streams in the read models and submits `LetTimePass` for each.

    The read models may be behind: a stream that was swept is not swept again for what was due by then, even if they
    still say so. `pool`: login scrip_writer, autocommit. `swept` counts streams.
    """

    def __init__(self, ledger: Ledger, pool: "AsyncConnectionPool[Any]", sources: Iterable[Source]) -> None:
        self._ledger = ledger
        self._pool = pool
        self._query = _query(sources)
        self._until: dict[Due, datetime] = {}
        self._under_way: dict[Due, asyncio.Task[None]] = {}  # streams on which so much is due that no sweep waits
        self._many: dict[Due, datetime] = {}  # what `_until` has of streams with many rows
        self.swept = 0

    async def sweep(self) -> int:
        """Let time pass on everything that is due now; how many streams that were.

        Where much is due on a stream, it goes on afterwards. Raises psycopg.Error, OutcomeUnknown, Overloaded; then the
        next call does the rest.
        """
        after, count = LONG_AGO, 0
        still_due: dict[Due, datetime] = {}
        self._many = dict(list(self._many.items())[-MOST_LEFT_OUT:])
        self._under_way = {each: task for each, task in self._under_way.items() if not task.done()}
        while True:
            now, found = await self._due(after)
            rows = {Due(org, stream): due for org, stream, due in found}  # in order of time: the latest stays
            due = [each for each, since in rows.items() if since > self._until.get(each, LONG_AGO)]
            new = [each for each in due if each not in self._under_way]
            await self._let_time_pass(new)
            done = [each for each in new if each not in self._under_way]
            count += len(done)
            self.swept += len(done)
            self._until |= dict.fromkeys(done, now)
            still_due |= {each: self._until[each] for each in rows if each in self._until}
            counts = Counter((org, stream) for org, stream, _ in found)
            self._many |= {each: now for each in done if counts[each] >= MANY}
            if len(found) < PAGE:
                break
            after = found[-1][2]
        self._until = still_due  # what the read models no longer show needs no memory
        return count

    async def _due(self, after: datetime) -> tuple[datetime, list[tuple[str, str, datetime]]]:
        """The time, and a page of what is due (organisation, stream, since when), oldest first.

        What is under way is left out, and what was swept and had many rows: more than all others together, perhaps.
        """
        async with self._pool.connection() as connection:
            clock = await (await connection.execute("select scrip_now()")).fetchone()
            if clock is None:
                raise AssertionError("scrip_now() always returns a row")
            known = self._many | dict.fromkeys(self._under_way, clock[0])
            arguments = {"after": after, "now": clock[0], "page": PAGE, "until": list(known.values())}
            whose = {"orgs": [each.org for each in known], "streams": [each.stream for each in known]}
            found = await connection.execute(self._query, arguments | whose)
            return clock[0], await found.fetchall()

    async def _let_time_pass(self, streams: list[Due]) -> None:
        """Each in its own task: where much is due on one, no other waits for it. What takes long stays under way."""
        if not streams:
            return
        tasks = {each: asyncio.create_task(self._let_pass(each)) for each in streams}
        waiting, done = set(tasks.values()), set[asyncio.Task[None]]()
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, timeout=LONG_S)
                if not done:
                    break
        except asyncio.CancelledError:
            for task in waiting:
                task.cancel()
            raise
        for task in waiting:
            task.add_done_callback(_looked_at)
        self._under_way |= {each: task for each, task in tasks.items() if task in waiting}
        for task in tasks.values():
            if task.done():
                task.result()

    async def _let_pass(self, due: Due) -> None:
        command = LetTimePass(stream=due.stream)
        submission = Submission(org=due.org, command=command, actor=TIME, caller=TIME, keep_refusals=False)
        await self._ledger.execute(submission)

    def stop(self) -> None:
        """Wait for nothing that is under way."""
        for task in self._under_way.values():
            task.cancel()


def _looked_at(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:  # the next sweep starts it again
        log.debug("letting time pass has failed", exc_info=error)


def _query(sources: Iterable[Source]) -> bytes:
    """A page of what is due, oldest first.

    `scrip_now()` is volatile and would keep the indexes from being used, so the time is a parameter.
    """
    due = " union all ".join(
        f"(select org, {stream} as stream, {moment} as due from read.{table} where {waits}"
        f" and {moment} > %(after)s and {moment} <= %(now)s"
        f" and not exists (select from unnest(%(orgs)s::text[], %(streams)s::text[], %(until)s::timestamptz[])"
        f" as known (its_org, its_stream, until) where its_org = org and its_stream = {stream} and {moment} <= until)"
        f" order by {moment} limit %(page)s)"
        for table, stream, moment, waits in sources
    )
    return f"{due} order by due limit %(page)s".encode()


async def run_sweeper(
    settings: Settings,
    stop: asyncio.Event,
    on_ready: Callable[[], None] | None = None,
    *,
    domain: Domain,
    sources: Iterable[Source],
) -> None:
    """Sweep every second until `stop` is set; `on_ready` is called when the ledger is reached.

    Waits for PostgreSQL when it is away, and for the first projector to make the read models.
    """
    uri = settings.writer_url.get_secret_value()
    writer = Writer(uri, domain, max_batch=PAGE, disk=disk_watch(settings), background=True)
    options = {
        "autocommit": True,
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        "options": session_options("-c statement_timeout=30s"),
    }
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        uri, min_size=1, max_size=1, open=False, timeout=5.0, kwargs=options, check=AsyncConnectionPool.check_connection
    )
    await pool.open()
    sweeper, leftovers = Sweeper(Ledger(writer, deadline_s=settings.request_deadline_s), pool, sources), Leftovers(pool)
    started = False

    async def sweep() -> None:
        nonlocal started
        if not started:
            await asyncio.to_thread(writer.start)
            started = True
            if on_ready:
                on_ready()
        await sweeper.sweep()
        await leftovers.delete()

    passing = (psycopg.Error, OutcomeUnknown, Overloaded, OSError)
    try:
        with metrics_served(settings, sweeper_metrics(lambda: sweeper.swept, writer)):
            await repeat("sweeping", sweep, stop, passing, every_s=EVERY_S, last_pause_s=LAST_PAUSE_S)
    finally:
        sweeper.stop()
        await pool.close()
        await asyncio.to_thread(writer.stop)


def sweeper_metrics(swept: Callable[[], int], writer: Writer) -> RoleMetrics:
    """What a sweeper shows of itself."""
    figure = Figure("counter", "scrip_sweeper_swept", "Streams on which time was let pass.", swept)
    return RoleMetrics([figure], lambda: writer_metrics(writer))
