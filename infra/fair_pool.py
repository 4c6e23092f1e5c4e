"""A pool of PostgreSQL connections in which callers take turns (infra/turns.py)."""

from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from infra.turns import CALLER, Caller, Turns


class FairPool(AsyncConnectionPool[AsyncConnection[Any]]):
    """As many turns as connections, so that nobody waits in the pool's own queue but for a connection being made."""

    def __init__(self, conninfo: str, *, max_size: int, timeout: float, **options: Any) -> None:
        """`timeout`: seconds until who has no connection is refused. The rest as for the pool."""
        super().__init__(conninfo, max_size=max_size, timeout=timeout, **options)
        self.turns = Turns(max_size, wait_s=timeout)
        self._callers: dict[AsyncConnection[Any], Caller] = {}

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[Any]:
        """A connection, in the caller's turn. Raises TooManyRequests, PoolTimeout, psycopg.Error."""
        caller = CALLER.get()
        if not self.turns.take(caller):
            left = await self.turns.wait(caller)
            timeout = left if timeout is None else min(left, timeout)
        try:
            connection = await super().getconn(timeout)
        except BaseException:
            self.turns.leave(caller)
            raise
        self._callers[connection] = caller
        return connection

    async def putconn(self, conn: AsyncConnection[Any]) -> None:
        """Give a connection back, and the turn with it."""
        caller = self._callers.pop(conn, None)
        try:
            await super().putconn(conn)
        finally:
            if caller is not None:
                self.turns.leave(caller)
