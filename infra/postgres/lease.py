"""Being the one process of a deployment that does something, for as long as it shows that it works.

A lock of a database session would do if processes either worked or ended. One that hangs, stopped or stuck in its event
loop, keeps its session, and with it the lock, for ever.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Self

import psycopg

from infra.postgres.session import options
from infra.waits import end_tasks

TERM_S = 5.0  # from the last renewal to the moment at which another process may take over
RENEW_EVERY_S = 1.0

# All times are the database's. A deadline further ahead than two terms was set before its clock was put back. Without
# an epoch: there is no such row, because it was deleted. The deadline is read as text, because a
# datetime of Python cannot be infinity.
_FREE = """
    select epoch, until::text from (select) here left join leases l on l.name = %s where (
        l.name is null or until <= clock_timestamp() or until > clock_timestamp() + 2 * %s::interval
        or not exists (select from pg_stat_activity a where a.pid = session and a.backend_start = session_start))"""
# Only the lease that was found free is taken, so one of several succeeds, and none where it was renewed meanwhile.
_TAKE = """
    update leases set epoch = case when epoch < 9223372036854775807 then epoch + 1 else 1 end,
        session = pg_backend_pid(), since = clock_timestamp(),
        session_start = (select backend_start from pg_stat_activity where pid = pg_backend_pid()),
        until = clock_timestamp() + %s::interval
    where name = %s and epoch = %s and until = %s::timestamptz returning epoch"""
_MAKE = "select make_lease(%s)"
# By the session too: the epoch could be an earlier one's, where the row was deleted or changed.
_RENEW = """
    update leases set until = clock_timestamp() + %s::interval
    where name = %s and epoch = %s and session = pg_backend_pid() returning epoch"""


class LeaseLost(Exception):
    """Another process holds the lease now: this one was silent for too long."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another process is the active {name} now")


class Lease:
    """The lease `name`, on a session of its own. Every method raises psycopg.Error or TimeoutError.

    Who held it and lost it does not know until it asks: what may be done once only needs a fence of its own, as Kafka
    has with its transactional ids, or must be harmless when it is done twice.
    """

    def __init__(self, name: str, connection: "psycopg.AsyncConnection[Any]") -> None:
        """Use `connect`."""
        self._name = name
        self._connection = connection
        self.epoch: int | None = None

    @classmethod
    async def connect(cls, uri: str, name: str) -> Self:
        """A session on a primary server, of a login that may take the lease; it has nothing yet."""
        connection = await psycopg.AsyncConnection.connect(
            uri,
            autocommit=True,
            application_name=f"scrip {name} lease",
            connect_timeout=5,
            target_session_attrs="read-write",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
            prepare_threshold=0,
            options=options("-c statement_timeout=4s"),
        )
        return cls(name, connection)

    async def close(self) -> None:
        """End the session, and with it the lease: another process may take it at once."""
        await self._connection.close()

    async def take(self) -> bool:
        """Become the holder if there is none that works; whether this is the holder now.

        It does not wait in the database: a waiting statement would hold back the clean-up of dead rows.
        """
        term = f"{TERM_S} s"
        free = await self._row(_FREE, (self._name, term))
        if free and free[0] is None:
            await self._row(_MAKE, (self._name,))
            free = await self._row(_FREE, (self._name, term))
        taken = free and await self._row(_TAKE, (term, self._name, *free))
        if taken:
            self.epoch = taken[0]
            # What is renewed every second need not reach the disk: after a crash of the server there is no holder.
            await self._row("set synchronous_commit = off", ())
        return bool(taken)

    async def confirm(self) -> None:
        """Return if this is still the holder, and be it for another term; raises LeaseLost otherwise."""
        if await self._row(_RENEW, (f"{TERM_S} s", self._name, self.epoch)) is None:
            raise LeaseLost(self._name)

    async def keep(self) -> None:
        """Renew it until cancelled. Raises LeaseLost."""
        while True:
            await self.confirm()
            await asyncio.sleep(RENEW_EVERY_S)

    async def while_held(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, which ends when the lease does. Raises what it raises, what `keep` raises, and StillRunning."""
        working, keeping = asyncio.ensure_future(work), asyncio.ensure_future(self.keep())
        try:
            await asyncio.wait((working, keeping), return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
        finally:
            await end_tasks((working, keeping))
        working.result()

    async def _row(self, query: str, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        async with asyncio.timeout(TERM_S):
            cursor = self._connection.cursor(binary=True)
            await cursor.execute(query.encode(), arguments)
            return await cursor.fetchone() if cursor.description else None
