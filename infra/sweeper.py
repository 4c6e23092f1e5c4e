"""The role `scrip sweeper`: writes what is due on streams that nobody uses, for every reader to see.

It also deletes rows that have done their work. Every decision lets time pass first, so correctness never depends on
this role: it may be late, run twice or not at all.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg_pool import AsyncConnectionPool

from domain.kernel.domain import Domain, LetTimePass
from infra.disk import disk_watch
from infra.leftovers import Leftovers
from infra.role_metrics import Figure, RoleMetrics, metrics_served
from infra.session import options as session_options
from infra.settings import Settings
from infra.waits import set_within
from infra.writer.ledger import TIME, Ledger
from infra.writer.metrics import writer_metrics
from infra.writer.submission import OutcomeUnknown, Overloaded, Submission
from infra.writer.writer import Writer

log = logging.getLogger(__name__)

EVERY_S = 1.0
PAGE = 1_000
LAST_PAUSE_S = 5.0
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
        self.swept = 0

    async def sweep(self) -> int:
        """Let time pass on everything that is due now; how many streams that were.

        Raises psycopg.Error, OutcomeUnknown, Overloaded; then the next call does the rest.
        """
        after, count = LONG_AGO, 0
        still_due: dict[Due, datetime] = {}
        while True:
            now, found = await self._due(after)
            rows = {Due(org, stream): due for org, stream, due in found}  # in order of time: the latest stays
            new = [each for each, due in rows.items() if due > self._until.get(each, LONG_AGO)]
            await self._let_time_pass(new)
            count += len(new)
            self.swept += len(new)
            self._until |= dict.fromkeys(new, now)
            still_due |= {each: self._until[each] for each in rows}
            if len(found) < PAGE:
                break
            after = found[-1][2]
        self._until = still_due  # what the read models no longer show needs no memory
        return count

    async def _due(self, after: datetime) -> tuple[datetime, list[tuple[str, str, datetime]]]:
        """The time, and a page of what is due (organisation, stream, since when), oldest first."""
        async with self._pool.connection() as connection:
            clock = await (await connection.execute("select scrip_now()")).fetchone()
            if clock is None:
                raise AssertionError("scrip_now() always returns a row")
            found = await connection.execute(self._query, {"after": after, "now": clock[0], "page": PAGE})
            return clock[0], await found.fetchall()

    async def _let_time_pass(self, streams: list[Due]) -> None:
        submissions = [
            Submission(org=org, command=LetTimePass(stream=stream), actor=TIME, caller=TIME, keep_refusals=False)
            for org, stream in streams
        ]
        if submissions:
            await self._ledger.execute_all(submissions)


def _query(sources: Iterable[Source]) -> bytes:
    """A page of what is due, oldest first.

    `scrip_now()` is volatile and would keep the indexes from being used, so the time is a parameter.
    """
    due = " union all ".join(
        f"(select org, {stream} as stream, {moment} as due from read.{table} where {waits}"
        f" and {moment} > %(after)s and {moment} <= %(now)s order by {moment} limit %(page)s)"
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
    sweeper = Sweeper(Ledger(writer, deadline_s=settings.request_deadline_s), pool, sources)
    try:
        with metrics_served(settings, sweeper_metrics(lambda: sweeper.swept, writer)):
            await _sweep_until(stop, sweeper, Leftovers(pool), writer, on_ready)
    finally:
        await pool.close()
        await asyncio.to_thread(writer.stop)


def sweeper_metrics(swept: Callable[[], int], writer: Writer) -> RoleMetrics:
    """What a sweeper shows of itself."""
    figure = Figure("counter", "scrip_sweeper_swept", "Streams on which time was let pass.", swept)
    return RoleMetrics([figure], lambda: writer_metrics(writer))


async def _sweep_until(
    stop: asyncio.Event,
    sweeper: Sweeper,
    leftovers: Leftovers,
    writer: Writer,
    on_ready: Callable[[], None] | None,
) -> None:
    started, pause = False, EVERY_S
    while not stop.is_set():
        try:
            if not started:
                await asyncio.to_thread(writer.start)
                started = True
                if on_ready:
                    on_ready()
            await sweeper.sweep()
            await leftovers.delete()
            pause = EVERY_S
        except (psycopg.Error, OutcomeUnknown, Overloaded, OSError) as error:
            log.warning("sweeping failed and is tried again: %s", error or type(error).__name__)
            pause = min(pause * 2, LAST_PAUSE_S)
        await set_within(stop, pause)
