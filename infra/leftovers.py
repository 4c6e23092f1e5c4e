"""Rows that have done their work: deleted after a time, a slice at a time, by the sweeper (docs/limits.md)."""

from datetime import timedelta
from time import monotonic
from typing import Any

from psycopg_pool import AsyncConnectionPool

KEPT = timedelta(days=90)
EVERY_S = 3_600.0
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
        if self._deleted_at is not None and monotonic() - self._deleted_at < EVERY_S:
            return 0
        counts = []
        for statement in _DELETES:
            async with self._pool.connection() as connection:
                counts.append((await connection.execute(statement.encode(), (KEPT,))).rowcount)
        if max(counts) < SLICE:
            self._deleted_at = monotonic()
        return sum(counts)
