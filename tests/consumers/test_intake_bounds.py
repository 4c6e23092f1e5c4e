"""Usage events that would become facts which cannot be kept or published: quarantine with the reason, not a retry."""

import asyncio
from typing import Any

import psycopg

from consumers.intake.record import Record
from domain.bounds import MAX_SLICES
from domain.credits.commands import Grant
from infra.ids import record_id
from infra.writer.submission import Submission
from tests.conftest import Database
from tests.consumers.intake_ledger import Bench, bench
from tests.consumers.usage_records import binary, completed, metered, structured


def test_a_charge_of_too_many_grants_is_told_and_its_neighbours_are_applied(database: Database) -> None:
    async def case() -> None:
        async with bench(database) as found:
            commands = [
                Grant(address="user:u_1:credits", grant_id=record_id(), amount=1, source="gift")
                for _ in range(MAX_SLICES + 10)
            ]
            work = [Submission(org="acme", command=each, actor="admin:t", caller="test") for each in commands]
            await found.ledger.execute_all(work)
            await found.grant(5, user="u_2")
            records = [metered("e1", MAX_SLICES + 1), metered("e2", 5, user="u_2"), metered("e3", 5)]
            tally = await found.intake.process(records)
            assert (tally.applied, tally.refused) == (2, 1)
            assert await found.waiting() == {"e1": "too_many_grants_at_once"}
            assert (await found.account()).debited == 5

    asyncio.run(case())


def _bad() -> dict[str, tuple[Record, str]]:
    texts = {"NUL": "\0", "half a pair": "\ud800", "a separator": "\x1f", "another": "\x1e"}
    found: dict[str, tuple[Record, str]] = {}
    for name, text in texts.items():
        data: dict[str, Any] = {"user_id": "u_1", "amount": 1, "reason": f"x{text}"}
        found[f"{name} in a reason"] = (structured("e1", data), "malformed_json")
        found[f"{name} in a model"] = (
            structured("e1", {"user_id": "u_1", "model": f"x{text}"}),
            "malformed_json",
        )
        if text != "\ud800":
            charge = {"user_id": "u_1", "amount": 1}
            found[f"{name} in the source"] = (binary("e1", charge, source=f"/w{text}"), "not_a_cloudevent")
            found[f"{name} in the id"] = (binary(f"e{text}", charge), "not_a_cloudevent")
    found["money beyond 10^12"] = (completed("e1", "g1", actual={"usd": "1000000"}), "invalid_data")
    found["a cost beyond 10^12"] = (
        completed("e1", "g1", provider_cost={"amount": "999999999999.5", "currency": "EUR"}),
        "invalid_data",
    )
    found["an amount beyond 10^12"] = (metered("e1", 10**12 + 1), "invalid_data")
    found["a time that is none"] = (metered("e1", 1, time="9999-99-99T00:00:00Z"), "not_a_cloudevent")
    return found


BAD = _bad()


def test_what_cannot_be_kept_is_in_quarantine(database: Database) -> None:
    async def case() -> None:
        async with bench(database) as found:
            await _all(found, database)

    asyncio.run(case())


async def _all(found: Bench, database: Database) -> None:
    await found.grant(100)
    for offset, (name, (record, reason)) in enumerate(BAD.items()):
        with psycopg.connect(database.owner_uri) as connection:
            connection.execute("delete from quarantine")  # several of them have the same identity
        tally = await found.intake.process([record._replace(place=f"scrip.usage/0/{offset}")])
        assert (tally.applied, tally.refused) == (0, 1), name
        assert [*(await found.waiting()).values()] == [reason], name
    assert await found.rows("select count(*) as n from events") == [{"n": 1}]
