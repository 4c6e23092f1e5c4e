"""Read your own writes: wait until the read models have reached a position."""

import asyncio
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

FIRST_PAUSE_S = 0.002
LONGEST_PAUSE_S = 0.025

Source = AsyncConnection[Any] | AsyncConnectionPool[Any]


async def wait_for(source: Source, partition: int, position: int, timeout_s: float = 2.0) -> bool:
    """True as soon as events up to `position` of the log's partition are in the read models, False after `timeout_s`.

    A connection must be outside a transaction, or it would look at the same moment again and again; from a pool
    one is taken for each look only, so that waiting readers do not keep it empty.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    pause = FIRST_PAUSE_S
    while await _reached(source, partition) < position:
        left = deadline - loop.time()
        if left <= 0:
            return False
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE_S)
    return True


async def _reached(source: Source, partition: int) -> int:
    if isinstance(source, AsyncConnectionPool):
        async with source.connection() as connection:
            return await _reached(connection, partition)
    cursor = await source.execute("select position from read.checkpoints where partition = %s", (partition,))
    row = await cursor.fetchone()
    return row[0] if row else 0
