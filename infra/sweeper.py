"""The role `scrip sweeper`: writes what is due on accounts that nobody uses, for every reader to see.

Every decision lets time pass first, so correctness never depends on this role: it may be late, run twice or not at all.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg_pool import AsyncConnectionPool

from domain.registry import LetTimePass
from infra.settings import Settings
from infra.writer.ledger import Ledger
from infra.writer.submission import OutcomeUnknown, Overloaded, Submission
from infra.writer.writer import Writer

log = logging.getLogger(__name__)

EVERY_S = 1.0
PAGE = 1_000
LAST_PAUSE_S = 10.0
ACTOR = "system:sweeper"
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)

# `scrip_now()` is volatile and would keep the indexes from being used, so the time is read first.
_DUE = """
    (select org, address, expires_at as due from read.reservations
     where status = 'held' and expires_at > %(after)s and expires_at <= %(now)s order by expires_at limit %(page)s)
    union all
    (select org, address, expires_at from read.grants
     where status = 'live' and remaining > 0 and expires_at > %(after)s and expires_at <= %(now)s
     order by expires_at limit %(page)s)
    union all
    (select org, address, effective_at from read.grants
     where status = 'scheduled' and effective_at > %(after)s and effective_at <= %(now)s
     order by effective_at limit %(page)s)
    order by due limit %(page)s"""


class Account(NamedTuple):
    """An account of an organisation."""

    org: str
    address: str


class Sweeper:
    """Finds due accounts in the read models and submits `LetTimePass` for each.

    The read models may be behind: an account that was swept is not swept again for what was due by then, even if
    they still say so. `pool`: login scrip_writer, autocommit. `swept` counts accounts.
    """

    def __init__(self, ledger: Ledger, pool: "AsyncConnectionPool[Any]") -> None:
        self._ledger = ledger
        self._pool = pool
        self._until: dict[Account, datetime] = {}
        self.swept = 0

    async def sweep(self) -> int:
        """Let time pass on everything that is due now; how many accounts that were.

        Raises psycopg.Error, OutcomeUnknown, Overloaded; then the next call does the rest.
        """
        after, count = LONG_AGO, 0
        still_due: dict[Account, datetime] = {}
        while True:
            now, found = await self._due(after)
            rows = {Account(org, address): due for org, address, due in found}  # in order of time: the latest stays
            new = [account for account, due in rows.items() if due > self._until.get(account, LONG_AGO)]
            await self._let_time_pass(new)
            count += len(new)
            self.swept += len(new)
            self._until |= dict.fromkeys(new, now)
            still_due |= {account: self._until[account] for account in rows}
            if len(found) < PAGE:
                break
            after = found[-1][2]
        self._until = still_due  # what the read models no longer show needs no memory
        return count

    async def _due(self, after: datetime) -> tuple[datetime, list[tuple[str, str, datetime]]]:
        """The time, and a page of what is due (organisation, address, since when), oldest first."""
        async with self._pool.connection() as connection:
            clock = await (await connection.execute("select scrip_now()")).fetchone()
            if clock is None:
                raise AssertionError("scrip_now() always returns a row")
            found = await connection.execute(_DUE, {"after": after, "now": clock[0], "page": PAGE})
            return clock[0], await found.fetchall()

    async def _let_time_pass(self, accounts: list[Account]) -> None:
        submissions = [
            Submission(org=org, command=LetTimePass(address=address), actor=ACTOR, caller=ACTOR, keep_refusals=False)
            for org, address in accounts
        ]
        if submissions:
            await self._ledger.execute_all(submissions)


async def run_sweeper(settings: Settings, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
    """Sweep every second until `stop` is set; `on_ready` is called when the ledger is reached.

    Waits for PostgreSQL when it is away, and for the first projector to make the read models.
    """
    uri = settings.writer_url.get_secret_value()
    writer = Writer(uri, max_batch=PAGE)
    options = {
        "autocommit": True,
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        "options": "-c statement_timeout=30s",
    }
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        uri, min_size=1, max_size=1, open=False, timeout=5.0, kwargs=options, check=AsyncConnectionPool.check_connection
    )
    await pool.open()
    sweeper = Sweeper(Ledger(writer, deadline_s=settings.request_deadline_s), pool)
    started, pause = False, EVERY_S
    try:
        while not stop.is_set():
            try:
                if not started:
                    await asyncio.to_thread(writer.start)
                    started = True
                    if on_ready:
                        on_ready()
                await sweeper.sweep()
                pause = EVERY_S
            except (psycopg.Error, OutcomeUnknown, Overloaded, OSError) as error:
                log.warning("sweeping failed and is tried again: %s", error or type(error).__name__)
                pause = min(pause * 2, LAST_PAUSE_S)
            try:
                await asyncio.wait_for(stop.wait(), pause)
            except TimeoutError:
                continue
    finally:
        await pool.close()
        await asyncio.to_thread(writer.stop)
