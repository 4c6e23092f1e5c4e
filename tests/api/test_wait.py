"""Reading one's own writes."""

import asyncio

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from api.reading import wait_for
from projections import versions
from tests.conftest import Database


def reach(database: Database, position: int) -> None:
    with psycopg.connect(database.projector_uri) as connection:
        connection.execute("update read_g1.checkpoints set position = %s where partition = 1", (position,))


def test_what_is_there_already(database: Database) -> None:
    async def go() -> tuple[bool, bool]:
        async with await AsyncConnection.connect(database.auditor_uri, autocommit=True) as connection:
            return await wait_for(connection, 1, 5, 0.0), await wait_for(connection, 1, 6, 0.0)

    versions.ensure(database.projector_uri)
    reach(database, 5)
    assert asyncio.run(go()) == (True, False)


def test_what_comes_while_waiting_and_what_does_not(database: Database) -> None:
    async def go() -> tuple[bool, bool, float]:
        loop = asyncio.get_running_loop()
        async with AsyncConnectionPool(database.auditor_uri, min_size=1, max_size=1, open=False) as pool:
            waiting = [asyncio.create_task(wait_for(pool, 1, 3, 10.0)) for _ in range(5)]
            late = asyncio.create_task(wait_for(pool, 1, 4, 0.3))
            await asyncio.to_thread(reach, database, 3)
            started = loop.time()
            came = all(await asyncio.gather(*waiting))
            return came, await late, loop.time() - started

    versions.ensure(database.projector_uri)
    came, late, seconds = asyncio.run(go())
    assert (came, late) == (True, False)
    assert seconds < 5.0
