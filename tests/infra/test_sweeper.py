"""The sweeper on a real ledger and real read models, which may lag behind or not exist yet."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from cli.commands.roles import sweeper_sources
from consumers.rebuild import rebuild_from
from domain.credits.commands import Grant, Reserve
from domain.kernel.work import SLICE
from domain.registry import SCRIP
from infra.settings import Settings
from infra.sweeper import LONG_AGO, Sweeper, run_sweeper
from infra.writer.ledger import Ledger
from infra.writer.submission import Submission
from infra.writer.writer import Writer
from projections import versions
from tests.conftest import Database, move_clock
from tests.waiting import patient


@asynccontextmanager
async def ledger_and_sweeper(database: Database) -> AsyncIterator[tuple[Ledger, Sweeper]]:
    """Both, started."""
    with Writer(database.writer_uri, SCRIP) as writer:
        async with AsyncConnectionPool(
            database.writer_uri, min_size=1, max_size=1, open=False, kwargs={"autocommit": True}
        ) as pool:
            ledger = Ledger(writer)
            yield ledger, Sweeper(ledger, pool, sweeper_sources())


async def submit(ledger: Ledger, *commands: Any) -> None:
    """Run commands that are accepted."""
    for command in commands:
        outcome = await ledger.execute(Submission(org="acme", command=command, actor="admin:t", caller="test"))
        assert outcome.refusal is None, outcome


def now(database: Database) -> datetime:
    """The database's time."""
    with psycopg.connect(database.owner_uri) as connection:
        row = connection.execute("select scrip_now()").fetchone()
        assert row
        found: datetime = row[0]
        return found


def project(database: Database) -> None:
    """Bring the read models up to date."""
    versions.ensure(database.projector_uri)
    rebuild_from(database.projector_uri)


def swept(database: Database) -> list[tuple[str, str]]:
    """Stream and type of what the sweeper wrote."""
    with psycopg.connect(database.owner_uri) as connection:
        return connection.execute(
            "select stream, type from events where actor = 'system:sweeper' order by partition, position"
        ).fetchall()


def account(name: str) -> str:
    return f"user:{name}:credits"


def gift(name: str, **terms: Any) -> Grant:
    return Grant(address=account(name), grant_id=f"g-{name}", amount=100, source="gift", **terms)


def test_what_is_due_is_written_and_only_once(database: Database) -> None:
    """S1-6."""

    async def whole() -> None:
        async with ledger_and_sweeper(database) as (ledger, sweeper):
            hour = now(database) + timedelta(hours=1)
            await submit(
                ledger,
                gift("holder"),
                Reserve(address=account("holder"), reservation_id="r1", amount=10, ttl_s=60),
                gift("expiring", expires_at=hour),
                gift("promised", effective_at=hour),
                gift("unconcerned"),
            )
            project(database)
            assert await sweeper.sweep() == 0
            move_clock(database, "2 minutes")
            assert await sweeper.sweep() == 1
            assert swept(database) == [("account/user:holder:credits", "reservation-expired.v1")]
            # The read models have not moved, and still show the hold: it is not swept again.
            assert await sweeper.sweep() == 0
            move_clock(database, "2 hours")
            assert await sweeper.sweep() == 2
            assert await sweeper.sweep() == 0
            assert sorted(swept(database)) == [
                ("account/user:expiring:credits", "grant-expired.v1"),
                ("account/user:holder:credits", "reservation-expired.v1"),
                ("account/user:promised:credits", "credits-granted.v1"),
            ]
            project(database)
            assert await sweeper.sweep() == 0

    asyncio.run(whole())


def test_more_than_a_page_is_swept_at_once(database: Database) -> None:
    async def whole() -> None:
        async with ledger_and_sweeper(database) as (ledger, sweeper):
            count = 2_500
            hour = now(database) + timedelta(hours=1)
            grants = [gift(f"u{number}", expires_at=hour + timedelta(seconds=number)) for number in range(count)]
            for start in range(0, count, 500):
                await ledger.execute_all(
                    [
                        Submission(org=f"org{number % 3}", command=command, actor="admin:t", caller="test")
                        for number, command in enumerate(grants[start : start + 500])
                    ]
                )
            project(database)
            move_clock(database, "2 hours")
            assert await sweeper.sweep() == count
            assert len(swept(database)) == count
            assert await sweeper.sweep() == 0

    asyncio.run(whole())


def test_a_hold_that_was_used_meanwhile_is_left_alone(database: Database) -> None:
    async def whole() -> None:
        async with ledger_and_sweeper(database) as (ledger, sweeper):
            await submit(
                ledger, gift("holder"), Reserve(address=account("holder"), reservation_id="r1", amount=10, ttl_s=60)
            )
            project(database)
            move_clock(database, "2 minutes")
            await submit(
                ledger, gift("holder2"), Grant(address=account("holder"), grant_id="g2", amount=1, source="gift")
            )
            assert await sweeper.sweep() == 1  # the stale read model says so, but the grant has written it
            assert swept(database) == []

    asyncio.run(whole())


def test_no_stream_waits_for_one_on_which_much_is_due(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.writer.writer.REST", 1e6)
    monkeypatch.setattr("infra.sweeper.LONG_S", 0.5)

    async def whole() -> None:
        async with ledger_and_sweeper(database) as (ledger, sweeper):
            many = [
                Reserve(address=account("many"), reservation_id=f"r{n}", amount=1, ttl_s=60) for n in range(2 * SLICE)
            ]
            few = [gift(name) for name in ("a", "b")] + [
                Reserve(address=account(name), reservation_id="r", amount=1, ttl_s=61) for name in ("a", "b")
            ]
            large = Grant(address=account("many"), grant_id="g-many", amount=1_000, source="gift")
            await submit(ledger, large, *many, *few)
            project(database)
            move_clock(database, "2 minutes")
            assert await sweeper.sweep() == 2
            assert Counter(swept(database)) == {
                ("account/user:many:credits", "reservation-expired.v1"): SLICE,
                ("account/user:a:credits", "reservation-expired.v1"): 1,
                ("account/user:b:credits", "reservation-expired.v1"): 1,
            }
            _, found = await sweeper._due(LONG_AGO)
            assert {stream for _, stream, _ in found} == {f"account/{account(name)}" for name in ("a", "b")}
            assert await sweeper.sweep() == 0
            assert len(swept(database)) == SLICE + 2
            sweeper.stop()

    asyncio.run(whole())


def test_the_role_waits_for_read_models_and_then_sweeps(database: Database) -> None:
    async def whole() -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        values: dict[str, Any] = {"writer_url": database.writer_uri}
        running = run_sweeper(Settings(**values), stop, ready.set, domain=SCRIP, sources=sweeper_sources())
        role = asyncio.create_task(running)
        await asyncio.wait_for(ready.wait(), patient(30))
        async with ledger_and_sweeper(database) as (ledger, _):
            await submit(
                ledger, gift("holder"), Reserve(address=account("holder"), reservation_id="r1", amount=10, ttl_s=60)
            )
        move_clock(database, "2 minutes")
        await asyncio.to_thread(project, database)
        async with asyncio.timeout(patient(30)):
            found: list[tuple[str, str]] = []
            while not found:
                await asyncio.sleep(0.1)
                found = await asyncio.to_thread(swept, database)
        stop.set()
        await asyncio.wait_for(role, patient(30))
        assert found == [("account/user:holder:credits", "reservation-expired.v1")]

    asyncio.run(whole())
