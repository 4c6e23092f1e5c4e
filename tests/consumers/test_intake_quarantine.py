"""What waits in quarantine: kept once, found, retried, and resolved when it applies."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import psycopg
import pytest

from consumers.intake.retry import Retried, retry
from infra.partitions import PLATFORM
from infra.quarantine import NotQuarantined, Parked, undecided
from tests.conftest import Database
from tests.consumers.intake_ledger import Bench, bench
from tests.consumers.usage_records import SOURCE, binary, metered, raw

Case = Callable[[Bench], Coroutine[Any, Any, None]]


@pytest.fixture
def run(database: Database) -> Callable[[Case], None]:
    """Run a coroutine on a fresh ledger."""

    def go(case: Case) -> None:
        async def whole() -> None:
            async with bench(database) as found:
                await case(found)

        asyncio.run(whole())

    return go


def test_a_refused_event_waits_and_applies_once_when_it_can(run: Callable[[Case], None], database: Database) -> None:
    async def case(found: Bench) -> None:
        event = metered("e1", 50)
        for attempt in (1, 2):
            assert (await found.intake.process([event])).reasons == {"insufficient_credits": 1}
            (row,) = await found.rows("select * from quarantine")
            assert (row["attempts"], row["reason"], row["org"]) == (attempt, "insufficient_credits", "acme")
            assert (
                row["detail"] == "Insufficient credits. You need 50 credits but only have 0. You're 50 credits short."
            )
        assert len(found.published) == 1  # on the topic once, however often it is tried
        await found.grant(1_000)
        assert (await found.intake.process([event, event])).applied == 1
        assert await found.waiting() == {}
        assert (await found.intake.process([event])).repeated == 1
        assert (await found.account()).debited == 50

    run(case)


def test_nothing_is_lost_when_publishing_fails_in_between(database: Database) -> None:
    async def whole() -> None:
        async with bench(database) as found:
            failures = 3

            async def flaky(rows: Sequence[Parked]) -> None:
                nonlocal failures
                if failures:
                    failures -= 1
                    raise OSError("the broker is away")
                found.published += rows

            found.intake.publish = flaky
            await found.intake.process([metered("e1", 5)])
            assert [row.event_id for row in found.published] == ["e1"]

    asyncio.run(whole())


def test_waiting_for_a_source(run: Callable[[Case], None]) -> None:
    async def case(found: Bench) -> None:
        await found.grant(10)
        ids = [f"e{number}" for number in range(6)]

        async def left(since: Any) -> list[str]:
            async with found.pool.connection() as connection:
                return sorted(await undecided(connection, "acme", SOURCE, ids, since))

        async def now() -> Any:
            return (await found.rows("select scrip_now() as now"))[0]["now"]

        start = await now()
        assert await left(start) == ids
        await found.intake.process([metered(id_, 4) for id_ in ids[:4]])
        assert await left(start) == ids[4:]  # two applied, two refused
        second = await now()
        assert await left(second) == ids[2:]  # those refused earlier are to be tried again
        # Other contents under these ids are refused, which decides them too.
        await found.intake.process([metered(id_, 5) for id_ in ids[:4]])
        assert await left(second) == ids[4:]
        await found.grant(100)
        second = await now()
        await found.intake.process([metered(id_, 4) for id_ in ids])
        assert await left(second) == []
        async with found.pool.connection() as connection:
            waiting = (
                "select reason, count(*) from quarantine where source = %b and resolved_at is null group by reason"
            )
            assert await (await connection.execute(waiting, (SOURCE,))).fetchall() == [("id_reused", 4)]

    run(case)


def test_a_record_of_unknown_origin_is_filed_under_the_platform(
    run: Callable[[Case], None], database: Database
) -> None:
    async def case(found: Bench) -> None:
        await found.intake.process([raw(b"hello", place="scrip.usage/1/2")])
        (row,) = await found.rows("select * from quarantine")
        assert (row["org"], row["source"], row["event_id"]) == (PLATFORM, "kafka", "scrip.usage/1/2")

    run(case)
    with psycopg.connect(database.reader_uri) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select body from quarantine")


def test_a_retry_applies_what_can_be_applied_by_then(run: Callable[[Case], None]) -> None:
    async def case(found: Bench) -> None:
        await found.intake.process([binary("e1", {"user_id": "u_1", "amount": 50}), raw(b"hello")])
        ids = {row["reason"]: row["id"] for row in await found.rows("select id, reason from quarantine")}
        poor, broken = ids["insufficient_credits"], ids["malformed_json"]
        first = await retry(found.intake, "acme", poor)
        assert first
        assert (first.applied, first.reason) == (False, "insufficient_credits")
        await found.grant(1_000)
        assert await retry(found.intake, "acme", poor) == Retried(True)
        assert await retry(found.intake, "acme", poor) == Retried(True)
        assert (await found.account()).debited == 50
        still = await retry(found.intake, PLATFORM, broken)
        assert still
        assert still.reason == "malformed_json"
        for org, id_ in (("acme", "0" * 32), ("acme", broken), ("other", poor)):
            with pytest.raises(NotQuarantined):
                await retry(found.intake, org, id_)
        assert await found.waiting() == {"scrip.usage/3/17": "malformed_json"}
        # The event itself, when it comes again, was applied.
        assert (await found.intake.process([metered("e1", 50)])).repeated == 1

    run(case)
