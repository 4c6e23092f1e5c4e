"""A file that names its rows, imported a second time."""

import asyncio

from pydantic import SecretStr

from cli.importing.rows import UsageRow
from cli.importing.send import Importer, Tally
from infra.settings import Settings
from tests.conftest import Database
from tests.consumers.intake_ledger import bench
from tests.consumers.test_intake_kafka import DEADLINE_S, intake, settings

__all__ = ["settings"]

ACCOUNT = "user:u_1:credits"


def row(id_: str, amount: int, **more: object) -> UsageRow:
    return UsageRow(id_, ACCOUNT, {"user_id": "u_1", "amount": amount, **more})


def figures(tally: Tally) -> tuple[int, int, int, int]:
    return tally.applied, tally.already, tally.already_credits, tally.refused


def test_an_id_that_was_charged_with_another_content_is_refused(settings: Settings, database: Database) -> None:
    """A corrected amount under the old id was counted as charged before."""
    settings.auditor_url = SecretStr(database.auditor_uri)

    async def whole() -> None:
        async def imported(*rows: UsageRow, own_ids: bool = True) -> Tally:
            importer = Importer(settings, "acme", lambda _: None, own_ids=own_ids)
            return await asyncio.wait_for(importer.run(rows), DEADLINE_S)

        async with bench(database) as found, intake(settings):
            await found.grant(1_000)
            first = (row("r-1", 5, reason="a é"), row("r-2", 7))
            told = await imported(*first)
            assert figures(told) == (2, 0, 0, 0), told
            assert figures(await imported(*first)) == (0, 2, 12, 0)
            told = await imported(first[0], row("r-2", 500), row("r-3", 1))
            assert figures(told) == (1, 1, 5, 1)
            assert dict(told.reasons) == {"id_reused": 1}
            assert "r-2" in told.details["id_reused"]
            # Where all cells are the identity, they were the same: only what they mean was told differently.
            assert figures(await imported(row("r-2", 500), own_ids=False)) == (0, 1, 7, 0)
            assert (await found.account()).debited == 13

    asyncio.run(whole())
