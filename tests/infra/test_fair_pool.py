"""Turns at real connections: given back with each connection, and where none could be had."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import psycopg

from infra.turns import CALLER, FairPool
from tests.conftest import Database
from tests.waiting import ENOUGH_S

GREEDY, MODEST = ("acme", "greedy"), ("acme", "modest")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, ENOUGH_S))


def pool_of(uri: str, **options: Any) -> FairPool:
    return FairPool(uri, min_size=1, max_size=4, open=False, **({"timeout": ENOUGH_S} | options))


def test_turns_go_with_connections(module_database: Database) -> None:
    """Whoever works, fails or is cancelled: afterwards all places are free, and all connections too."""

    async def work() -> None:
        async with pool_of(module_database.writer_uri) as pool:

            async def one(number: int) -> None:
                CALLER.set(("acme", f"u{number % 5}"))
                async with pool.connection() as connection:
                    assert pool.turns.used <= 4
                    await connection.execute("select pg_sleep(0.001)")
                    if number % 7 == 0:
                        raise ValueError

            tasks = [asyncio.create_task(one(number)) for number in range(80)]
            for number in range(0, 80, 9):
                await asyncio.sleep(0.002)
                tasks[number].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert (pool.turns.used, pool.turns.waiting, pool._callers) == (0, 0, {})
            CALLER.set(MODEST)
            async with pool.connection() as first, pool.connection() as second:
                assert first is not second

    run(work())


def test_who_holds_theirs_leaves_some_to_others(module_database: Database) -> None:
    async def work() -> None:
        async with pool_of(module_database.writer_uri) as pool:
            CALLER.set(GREEDY)
            async with pool.connection(), pool.connection():
                third = asyncio.create_task(pool.getconn())
                CALLER.set(MODEST)
                async with pool.connection() as connection:
                    assert (await (await connection.execute("select 1")).fetchone()) == (1,)
                assert not third.done()
            await pool.putconn(await third)

    run(work())


def test_a_database_that_is_away_keeps_no_place() -> None:
    async def work() -> None:
        async with pool_of("postgresql://nobody@127.0.0.1:1/none", timeout=0.1) as pool:
            tasks = [asyncio.create_task(pool.getconn()) for _ in range(10)]
            told = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(each, psycopg.OperationalError) for each in told)
            assert (pool.turns.used, pool.turns.waiting) == (0, 0)

    run(work())
