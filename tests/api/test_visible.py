"""Reading one's own writes: one look serves all who wait for a position."""

import asyncio
from collections.abc import Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from api.http import database
from api.http.database import Visible
from infra.turns import CALLER, FairPool, TooManyWaiting
from projections import versions
from tests.conftest import Database
from tests.waiting import patient


@pytest.fixture(scope="module")
def reading(module_database: Database) -> Database:
    """A database with empty read models."""
    versions.ensure(module_database.projector_uri)
    return module_database


def reach(database: Database, position: int) -> None:
    with psycopg.connect(database.projector_uri) as connection:
        connection.execute("update read_g1.checkpoints set position = %s where partition = 1", (position,))


class Counted(Visible):
    """Counts its looks."""

    looks = 0

    async def _look(self) -> None:
        self.looks += 1
        await super()._look()


@asynccontextmanager
async def watching(uri: str) -> Any:
    async with FairPool(uri, min_size=1, max_size=4, timeout=2.0, open=False) as pool, asyncio.timeout(patient(20)):
        yield Counted(pool)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_hundreds_who_wait_are_served_by_few_looks(reading: Database) -> None:
    async def work() -> None:
        async with watching(reading.auditor_uri) as seen:
            waiting = [asyncio.create_task(as_(f"u{n}", seen.reached(1, 3))) for n in range(300)]
            there = [asyncio.create_task(as_(f"u{n}", seen.reached(1, 0))) for n in range(100)]
            late = asyncio.create_task(seen.reached(1, 4))
            assert await asyncio.gather(*there) == [True] * 100
            assert seen.looks <= 3
            await asyncio.to_thread(reach, reading, 3)
            assert await asyncio.gather(*waiting) == [True] * 300
            assert not await late
            assert seen.looks < 2.0 / database.LEAST_PAUSE_S, "the looks do not grow with those who wait"
            assert (seen.turns.used, seen._waiting) == (0, set())

    async def as_(login: str, waiting: Coroutine[Any, Any, bool]) -> bool:
        CALLER.set(("acme", login))
        return await waiting

    reach(reading, 0)
    run(work())


def test_who_is_cancelled_or_refused_leaves_no_trace(reading: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with watching(reading.auditor_uri) as seen:
            seen.turns.of_login, seen.turns.refuse_after_s = 1, 0.0
            gone = asyncio.create_task(seen.reached(1, 10**6))
            await asyncio.sleep(0)
            with pytest.raises(TooManyWaiting):
                await seen.reached(1, 0)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            assert (seen.turns.used, seen._waiting) == (0, set())
            assert await seen.reached(1, 0)

    run(work())


def test_a_look_that_fails_is_told_to_all_and_the_next_goes_on(reading: Database) -> None:
    async def work() -> None:
        async with watching(reading.reader_uri.replace("scrip_reader", "scrip_relay")) as seen:
            waiting = [asyncio.create_task(seen.reached(1, 0)) for _ in range(3)]
            told = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(each, psycopg.Error) for each in told), told
            assert seen.turns.used == 0
            with pytest.raises(psycopg.Error):
                await seen.reached(1, 0)

    run(work())
