"""A sender of garbage fills neither the table nor the topic, and what it did is seen all the same."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from consumers.intake.retry import Retried, retry
from infra import quarantine
from infra.partitions import PLATFORM
from tests.conftest import Database
from tests.consumers.intake_ledger import Bench, bench
from tests.consumers.usage_records import metered, raw, structured

Case = Callable[[Bench], Coroutine[Any, Any, None]]
COUNTED = "select org, attempts, detail, body, id from quarantine where reason = 'left_out' order by org"


def run(database: Database, case: Case) -> None:
    async def whole() -> None:
        async with bench(database) as found:
            await case(found)

    asyncio.run(whole())


def lower(monkeypatch: pytest.MonkeyPatch, of_org: int, in_all: int) -> None:
    """The bounds of this test, in the statement that counts."""
    room = quarantine._ROOM
    room = room.replace(str(quarantine.MAX_IN_ALL), str(in_all))
    monkeypatch.setattr(quarantine, "_ROOM", room.replace(str(quarantine.MAX_OF_ORG), str(of_org)))


def test_what_can_never_be_applied_has_so_many_rows(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    lower(monkeypatch, 3, 100)

    async def case(found: Bench) -> None:
        garbage = [raw(b"garbage %d" % number, place=f"scrip.usage/0/{number}") for number in range(5)]
        await found.intake.process(garbage[:2])
        await found.intake.process(garbage[2:])
        assert len(await found.waiting()) == 4  # three, and the one that counts
        assert len(found.published) == 3
        (row,) = await found.rows(COUNTED)
        assert (row["org"], row["attempts"]) == (PLATFORM, 2)
        assert "scrip.usage/0/4" in row["detail"]
        await found.intake.process([raw(b"more", place="scrip.usage/0/9")])
        await found.intake.process(garbage[:1])  # it has its row
        (row,) = await found.rows(COUNTED)
        assert row["attempts"] == 3
        assert await retry(found.intake, PLATFORM, row["id"]) == Retried(
            False, "left_out", "This row only counts what was not kept."
        )
        # What is money gets its row, however many there are.
        refused = await found.intake.process([metered(f"e{number}", 50) for number in range(5)])
        assert refused.reasons == {"insufficient_credits": 5}
        assert len(await found.waiting()) == 9

    run(database, case)


def test_invented_organisations_have_no_more_room(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may write to the broker may name any organisation: neither rows nor keys are made for each of them."""
    lower(monkeypatch, 3, 4)

    async def case(found: Bench) -> None:
        records = [structured(f"e{number}", {"no": "usage"}, scriporg=f"invented{number}") for number in range(10)]
        await found.intake.process(records)
        assert len(await found.waiting()) == 5
        (row,) = await found.rows(COUNTED)
        assert (row["org"], row["attempts"]) == (PLATFORM, 6)
        assert len(await found.rows("select 1 from subject_keys")) == 4

    run(database, case)
