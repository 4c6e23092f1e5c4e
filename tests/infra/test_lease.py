"""A lease: one holder, which keeps it while it renews it, and no longer, whatever else it does."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import psycopg
import pytest

from infra import waits
from infra.postgres import lease as module
from infra.postgres.lease import Lease, LeaseLost
from infra.waits import StillRunning
from tests.conftest import Database
from tests.infra.relaying import until
from tests.waiting import ENOUGH_S


@asynccontextmanager
async def candidates(database: Database, count: int) -> AsyncIterator[list[Lease]]:
    """Sessions that may become the active relay."""
    found = [await Lease.connect(database.relay_uri, "relay") for _ in range(count)]
    try:
        yield found
    finally:
        for each in found:
            await each.close()


async def free(lease: Lease) -> None:
    """Take a lease as soon as that is possible."""
    deadline = monotonic() + ENOUGH_S
    while not await lease.take():
        assert monotonic() < deadline, "nobody gives it free"
        await asyncio.sleep(0.02)


def change(database: Database, what: str) -> None:
    with psycopg.connect(database.owner_uri, autocommit=True) as owner:
        owner.execute(f"update leases set {what} where name = 'relay'")  # type: ignore[arg-type, unused-ignore]


def test_one_of_many_takes_it_and_the_end_of_its_session_gives_it_free_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TERM_S", 3_600.0)

    async def steps() -> None:
        async with candidates(database, 5) as leases:
            taken = await asyncio.gather(*(lease.take() for lease in leases))
            assert sum(taken) == 1
            holder = leases.pop(taken.index(True))
            for _ in range(3):
                assert not any(await asyncio.gather(*(lease.take() for lease in leases)))
            await holder.confirm()
            await holder.close()
            await free(leases[0])
            assert (holder.epoch, leases[0].epoch) == (1, 2)

    asyncio.run(steps())


def test_who_is_silent_for_a_term_loses_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TERM_S", 0.5)

    async def steps() -> None:
        async with candidates(database, 2) as (silent, other):
            assert await silent.take()
            await free(other)
            with pytest.raises(LeaseLost):
                await silent.confirm()
            await other.confirm()
            assert not await silent.take()

    asyncio.run(steps())


def test_who_renews_it_keeps_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_EVERY_S", 0.05)

    async def steps() -> None:
        async with candidates(database, 2) as (holder, other):
            assert await holder.take()
            keeping = asyncio.create_task(holder.keep())
            for _ in range(5):  # its end comes near again and again, and it is renewed
                change(database, "until = least(until, clock_timestamp() + interval '2 seconds')")
                await asyncio.sleep(0.1)
                assert not await other.take()
            assert not keeping.done()
            keeping.cancel()

    asyncio.run(steps())


def test_a_clock_that_was_put_back_keeps_nobody_out(database: Database) -> None:
    async def steps() -> None:
        async with candidates(database, 2) as (silent, other):
            assert await silent.take()
            change(database, "until = until + interval '1 day'")
            assert await other.take()

    asyncio.run(steps())


def test_a_lease_that_somebody_deleted_is_made_again_and_its_holder_has_it_no_more(database: Database) -> None:
    async def steps() -> None:
        async with candidates(database, 3) as (silent, holder, other):
            assert await silent.take()
            for _ in range(2):  # the new one counts from anew: the same epoch must not be the same right
                with psycopg.connect(database.owner_uri, autocommit=True) as owner:
                    owner.execute("delete from leases where name = 'relay'")
                taken = await asyncio.gather(holder.take(), other.take())
                assert sum(taken) == 1, "one of them has it at once"
                new = (holder, other)[taken.index(True)]
                await new.confirm()
                change(database, f"epoch = {silent.epoch}")
                with pytest.raises(LeaseLost):
                    await silent.confirm()

    asyncio.run(steps())


def test_no_epoch_is_the_last_one(database: Database) -> None:
    """A login that takes a lease may set it to anything."""

    async def steps() -> None:
        async with candidates(database, 2) as (first, second):
            change(database, "epoch = 9223372036854775807")
            assert await first.take()
            await first.confirm()
            change(database, "until = clock_timestamp()")
            assert await second.take()
            with pytest.raises(LeaseLost):
                await first.confirm()

    asyncio.run(steps())


async def lost(database: Database, holder: Lease, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Do work with a lease that another one then takes; what has come of it."""
    assert await holder.take()
    held = asyncio.create_task(holder.while_held(work))
    await asyncio.sleep(0.1)
    change(database, "epoch = epoch + 1")
    await until(held.done, "the holder has learnt that it lost the lease")
    return held


def test_work_ends_with_the_lease(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_EVERY_S", 0.05)
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ended.append("ended")

    async def steps() -> None:
        async with candidates(database, 1) as (holder,):
            held = await lost(database, holder, work())
            with pytest.raises(LeaseLost, match="another process is the active relay now"):
                held.result()
            assert ended == ["ended"]

    asyncio.run(steps())


def test_work_that_goes_on_without_the_lease_is_an_error(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the process: a second holder is at work by then."""
    monkeypatch.setattr(module, "RENEW_EVERY_S", 0.05)
    monkeypatch.setattr(waits, "END_S", 0.2)
    monkeypatch.setattr(waits, "AGAIN_S", 0.05)
    go_on = asyncio.Event()

    async def work() -> None:
        while not go_on.is_set():
            with suppress(asyncio.CancelledError):
                await go_on.wait()

    async def steps() -> None:
        async with candidates(database, 1) as (holder,):
            held = await lost(database, holder, work())
            with pytest.raises(StillRunning, match="work"):
                held.result()
            go_on.set()

    asyncio.run(steps())


@pytest.mark.parametrize("until_", ["infinity", "-infinity"])
def test_a_deadline_that_is_no_time_keeps_nobody_out(database: Database, until_: str) -> None:
    """A login that takes a lease may set it to anything."""

    async def steps() -> None:
        async with candidates(database, 2) as (first, second):
            assert await first.take()
            change(database, f"epoch = epoch + 1, until = '{until_}'")
            with pytest.raises(LeaseLost):
                await first.confirm()
            assert await second.take()
            await second.confirm()

    asyncio.run(steps())


def test_what_the_work_raises_is_raised(database: Database) -> None:
    async def work() -> None:
        raise LookupError("planted")

    async def steps() -> None:
        async with candidates(database, 1) as (holder,):
            assert await holder.take()
            with pytest.raises(LookupError, match="planted"):
                await holder.while_held(work())

    asyncio.run(steps())


def test_a_login_takes_its_own_lease_only(database: Database) -> None:
    async def attempt(uri: str, name: str) -> bool:
        lease = await Lease.connect(uri, name)
        try:
            return await lease.take()
        finally:
            await lease.close()

    async def steps() -> None:
        assert await attempt(database.relay_uri, "relay")
        assert await attempt(database.writer_uri, "notifier")
        assert not await attempt(database.writer_uri, "relay")
        assert not await attempt(database.relay_uri, "notifier")
        for uri in (database.auditor_uri, database.reader_uri, database.projector_uri):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await attempt(uri, "relay")

    asyncio.run(steps())
    for uri in (database.relay_uri, database.writer_uri):
        with psycopg.connect(uri, autocommit=True) as connection:
            for statement in ("insert into leases (name) values ('x')", "delete from leases", "truncate leases"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)  # type: ignore[arg-type, unused-ignore]
