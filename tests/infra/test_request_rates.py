"""S2: rate limit of 10 requests per 60 s per user on generation requests, exact over all processes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from infra.security import rates
from infra.security.rates import Limit, RequestRates
from tests.conftest import Database, move_clock

TEN, SINGLE = Limit(10, 60), Limit(1, 60)
Work = Callable[[RequestRates, RequestRates], Coroutine[Any, Any, None]]


def with_two_processes(database: Database, work: Work) -> None:
    """Run with the counts of two processes on one database."""

    async def run() -> None:
        options: dict[str, Any] = {"kwargs": {"autocommit": True}, "open": False}
        async with (
            AsyncConnectionPool(database.writer_uri, min_size=1, max_size=4, **options) as one,
            AsyncConnectionPool(database.writer_uri, min_size=1, max_size=4, **options) as two,
        ):
            await work(RequestRates(one), RequestRates(two))

    asyncio.run(run())


def test_ten_pass_whatever_the_process_and_the_eleventh_waits(module_database: Database) -> None:
    """S2-6."""

    async def work(one: RequestRates, two: RequestRates) -> None:
        waits = await asyncio.gather(
            *(each.wait_s("acme", "user:race", TEN, None) for each in (one, two) for _ in range(20))
        )
        assert waits.count(0) == 10
        assert all(1 <= wait <= 60 for wait in waits if wait)
        # Other users, and the same name in another organisation, have counts of their own.
        assert await two.wait_s("acme", "user:other", TEN, None) == 0
        assert await two.wait_s("globex", "user:race", TEN, None) == 0

    with_two_processes(module_database, work)


def test_the_window_slides(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "REFUSED_S", 0.0)

    async def work(one: RequestRates, _two: RequestRates) -> None:
        three = Limit(3, 60)
        assert [await one.wait_s("acme", "user:u", three, None) for _ in range(2)] == [0, 0]
        move_clock(database, "40 seconds")
        assert await one.wait_s("acme", "user:u", three, None) == 0
        wait = await one.wait_s("acme", "user:u", three, None)
        assert 15 <= wait <= 20
        move_clock(database, "21 seconds")  # the first two have left the window, the third has not
        assert [await one.wait_s("acme", "user:u", three, None) > 0 for _ in range(3)] == [False, False, True]

    with_two_processes(database, work)


def test_a_refused_request_does_not_count(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "REFUSED_S", 0.0)

    async def work(one: RequestRates, _two: RequestRates) -> None:
        single = Limit(1, 60)
        assert await one.wait_s("acme", "user:u", single, None) == 0
        for _ in range(3):
            move_clock(database, "19 seconds")
            assert await one.wait_s("acme", "user:u", single, None) > 0
        move_clock(database, "4 seconds")
        assert await one.wait_s("acme", "user:u", single, None) == 0

    with_two_processes(database, work)


def test_a_replay_passes_and_does_not_count(module_database: Database) -> None:
    with psycopg.connect(module_database.writer_uri, autocommit=True) as connection:
        connection.execute(
            "insert into commands (org, caller, key, partition, position, events) values"
            " ('acme', 'user:again', 'k1', 0, 0, 0)"
        )

    async def work(one: RequestRates, _two: RequestRates) -> None:
        single = Limit(1, 60)
        for _ in range(3):
            assert await one.wait_s("acme", "user:again", single, "k1") == 0
        assert await one.wait_s("acme", "user:again", single, "k2") == 0
        assert await one.wait_s("acme", "user:again", single, "k3") > 0
        assert await one.wait_s("acme", "user:again", single, "k1") == 0
        assert await one.wait_s("globex", "user:again", single, "k1") == 0  # its own count, not a replay
        assert await one.wait_s("globex", "user:again", single, "k1") > 0

    with_two_processes(module_database, work)


def test_what_no_longer_counts_is_dropped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "CLEAN_EVERY", 3)

    async def work(one: RequestRates, _two: RequestRates) -> None:
        await one.wait_s("acme", "user:early", TEN, None)
        move_clock(database, "2 minutes")
        for _ in range(2):
            await one.wait_s("acme", "user:late", TEN, None)

    with_two_processes(database, work)
    with psycopg.connect(database.writer_uri) as connection:
        kept = connection.execute("select caller, cardinality(hits) from request_rates").fetchall()
    assert kept == [("user:late", 2)]


def test_a_database_that_is_away_lets_nobody_through() -> None:
    async def run() -> None:
        nowhere = "postgresql://nobody@127.0.0.1:1/none"
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool(nowhere, min_size=0, max_size=1, open=False, timeout=0.2)
        await pool.open()
        try:
            with pytest.raises(psycopg.OperationalError):
                await RequestRates(pool).wait_s("acme", "user:u", TEN, None)
        finally:
            await pool.close()

    asyncio.run(run())


def test_a_refusal_is_remembered(module_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs no statement until it is over, but for some requests whose key may have its answer."""
    asked: list[str] = []

    async def work(one: RequestRates, _two: RequestRates) -> None:
        async def ask(caller: str = "user:many", limit: Limit = SINGLE, key: str | None = None) -> int:
            return await one.wait_s("acme", caller, limit, key)

        connection = one._pool.connection

        def counted(*given: Any, **named: Any) -> Any:
            asked.append("")
            return connection(*given, **named)

        monkeypatch.setattr(one._pool, "connection", counted)
        assert await ask() == 0
        assert 1 <= await ask() <= 60
        asked.clear()
        assert all([1 <= await ask() <= 60 for _ in range(50)])
        assert asked == []
        assert all([await ask(key=f"k{n}") > 0 for n in range(50)])
        assert len(asked) == rates.LOOKS
        assert await ask(limit=TEN) == 0, "a higher limit counts at once"
        assert await ask("user:few") == 0, "others are not refused"
        assert await ask() > 0
        monkeypatch.setattr(rates, "REFUSED", 1)
        assert await ask("user:few") > 0
        assert len(one._refusals) == 1

    with_two_processes(module_database, work)
