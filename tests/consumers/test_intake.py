"""Batches of usage events on a real ledger: each is applied once, or waits in quarantine and stops nobody else."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from consumers.intake.commands import command_of
from consumers.intake.record import read_record
from consumers.usage import COMPLETED
from domain.credits.address import stream_of
from domain.credits.commands import Grant, Reserve
from domain.generations.create import CreateGeneration
from domain.generations.request import Request
from domain.organisations.commands import ConfigureOrganisation
from domain.prices.catalogue import CATALOGUE
from domain.prices.events import PriceEntry
from domain.prices.publish import PublishPrices
from infra.partitions import PLATFORM
from tests.conftest import Database, move_clock
from tests.consumers.intake_ledger import Bench, bench
from tests.consumers.test_usage import BAD_RECORDS
from tests.consumers.usage_records import binary, completed, metered, started, structured

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


def test_every_form_is_applied(run: Callable[[Case], None]) -> None:
    """S4-1."""

    async def case(found: Bench) -> None:
        await found.grant(10_000)
        for name in ("whole", "part", "failed", "free"):
            await found.reserve(name, 100)
        await found.submit(PublishPrices(entries=CATALOGUE, first=True), PLATFORM)
        tally = await found.intake.process(
            [
                metered("e1", 5),
                binary("e2", {"address": "user:u_1:credits", "amount": 7}),
                started("e3", "whole"),
                completed("e4", "whole"),
                completed("e5", "part", actual={"credits": 30}),
                completed("e6", "failed", success=False, outcome="timed_out"),
                completed("e7", "free", actual={"credits": 0}),
                structured(
                    "e8", {"user_id": "u_1", "provider": "BFL", "model": "FLUX.1 [dev]", "options": {"count": 2}}
                ),
            ]
        )
        assert (tally.received, tally.applied, tally.refused) == (8, 8, 0), (tally, await found.waiting())
        account = await found.account()
        assert (account.debited, account.reserved) == (5 + 7 + 100 + 30 + 180, 0)

    run(case)


def test_copies_are_applied_once_for_ever(run: Callable[[Case], None]) -> None:
    async def case(found: Bench) -> None:
        await found.grant(1_000)
        await found.reserve("r1", 100)
        batch = [
            metered("e1", 5),
            metered("e1", 5),
            binary("e1", {"user_id": "u_1", "amount": 5}),
            completed("e2", "r1"),
        ]
        first = await found.intake.process(batch)
        second = await found.intake.process(batch)
        assert (first.applied, first.repeated, first.refused) == (2, 0, 0)
        assert (second.applied, second.repeated, second.refused) == (0, 2, 0)
        # The same id from another source, or in another organisation, is another event.
        await found.grant(1_000, org="other")
        await found.intake.process([metered("e1", 5, source="/workers/8"), metered("e1", 5, scriporg="other")])
        assert (await found.account()).debited == 5 + 100 + 5
        assert (await found.account(org="other")).debited == 5
        assert await found.waiting() == {}

    run(case)


def test_another_content_under_the_same_id_is_refused(run: Callable[[Case], None]) -> None:
    async def case(found: Bench) -> None:
        await found.grant(1_000)
        first = await found.intake.process([metered("e1", 5), metered("e1", 6)])  # in one batch
        second = await found.intake.process([metered("e1", 7), metered("e1", 5)])  # after it was applied
        assert (first.applied, first.reasons) == (1, {"id_reused": 1})
        assert (second.applied, second.repeated, second.reasons) == (0, 1, {"id_reused": 1})
        await found.intake.process([metered("e2", 5, user="poor")])  # and while another content waits in quarantine
        assert (await found.intake.process([metered("e2", 6)])).reasons == {"id_reused": 1}
        assert (await found.account()).debited == 5
        assert sorted(
            row["reason"] for row in await found.rows("select reason from quarantine where event_id = 'e2'")
        ) == [
            "id_reused",
            "insufficient_credits",
        ]

    run(case)


def test_bad_records_stop_nobody(run: Callable[[Case], None]) -> None:
    async def case(found: Bench) -> None:
        await found.grant(1_000)
        records = [record for record, _ in BAD_RECORDS.values()]
        mixed = [part for index, bad in enumerate(records) for part in (bad, metered(f"good{index}", 1))]
        tally = await found.intake.process(mixed)
        assert (tally.applied, tally.refused) == (len(records), len(records))
        assert (await found.account()).debited == len(records)
        again = await found.intake.process(mixed)
        assert (again.applied, again.repeated, again.refused) == (0, len(records), len(records))
        ids = {item.id for item in map(read_record, records)}  # type: ignore[union-attr]
        assert {row["id"] for row in await found.rows("select id from quarantine")} == ids
        assert {row.id for row in found.published} == ids
        assert len(found.published) == len(ids)

    run(case)


def test_what_is_wrong_with_a_reservation_has_its_reason(run: Callable[[Case], None], database: Database) -> None:
    async def case(found: Bench) -> None:
        await found.grant(1_000)
        await found.reserve("done", 10)
        await found.reserve("late", 10, ttl_s=60)
        await found.reserve("small", 10)
        await found.intake.process([completed("e1", "done")])
        move_clock(database, "2 minutes")
        tally = await found.intake.process(
            [
                completed("e2", "done"),
                completed("e3", "late"),
                completed("e4", "small", actual={"credits": 11}),
                completed("e5", "nowhere"),
                started("e6", "nowhere"),
                completed("e7", "small", succeeded=1),
                structured("e8", {"generation_id": "small", "success": True}, COMPLETED, scriporg="other"),
                structured("e9", {"user_id": "u_1", "model": "unheard of"}),
            ]
        )
        assert tally.applied == 0
        assert await found.waiting() == {
            "e2": "reservation_ended",
            "e3": "reservation_ended",
            "e4": "exceeds_hold",
            "e5": "not_found",
            "e6": "not_found",
            "e7": "unpriced",
            "e8": "not_found",
            "e9": "unpriced",
        }
        (late,) = await found.rows("select detail from quarantine where event_id = 'e3'")
        assert late["detail"].endswith("it was expired.")
        account = await found.account()
        assert (account.debited, account.reserved) == (10, 10)

    run(case)


def test_texts_are_sealed_for_their_owner(run: Callable[[Case], None]) -> None:
    async def case(found: Bench) -> None:
        await found.grant(1_000)
        await found.reserve("r1", 10)
        text = "a prompt about my illness"
        await found.intake.process(
            [
                structured("e1", {"user_id": "u_1", "amount": 5, "reason": text, "metadata": {"p": text}}),
                completed("e2", "r1", success=False, outcome="other", error_message=text),
                structured("e3", {"user_id": "poor", "amount": 5, "reason": text}),
            ]
        )
        rows = await found.rows(
            "select type, convert_from(data, 'utf8')::json -> 'data' ->> 'sealed' as sealed from events"
        )
        sealed = {row["type"]: row["sealed"] for row in rows if row["sealed"]}
        opened = {type_: found.sealer.open("acme", "user:u_1", text) for type_, text in sealed.items()}
        assert opened == {
            "credits-debited.v1": {"reason": text, "metadata": {"p": text}},
            "reservation-released.v1": {"outcome": "other", "error_message": text},
        }
        stored = await found.rows("select coalesce(string_agg(q::text, ''), '') as all from quarantine q")
        assert "illness" not in stored[0]["all"]
        assert "illness" not in str(found.published)
        assert found.sealer.open("acme", "org:acme", found.published[0].body)

    run(case)


def test_a_command_that_cannot_be_handled_stops_nobody(
    run: Callable[[Case], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def case(found: Bench) -> None:
        await found.grant(1_000)
        monkeypatch.setattr(
            "consumers.intake.batch.command_of",
            lambda data, *rest: "no command" if data.amount == 13 else command_of(data, *rest),
        )
        tally = await found.intake.process([metered("e1", 5), metered("e2", 13), metered("e3", 7)])
        assert (tally.applied, tally.reasons) == (2, {"internal_error": 1})
        assert (await found.account()).debited == 12

    run(case)


def test_a_cut_stream_is_charged_what_it_used(run: Callable[[Case], None]) -> None:
    """S4-1: the settlement policy decides; without one the use is recorded with the outcome."""
    entry = PriceEntry(model="gpt", operation="chat", rates={"out": 50}, expected_usage={"out": 1_000})

    async def case(found: Bench) -> None:
        await found.grant(1_000)
        await found.submit(PublishPrices(entries=(entry,), first=True), PLATFORM)
        await found.submit(ConfigureOrganisation(settlement_policy={"timed_out": 100}))
        for name in ("paid", "unpaid"):
            request = Request(user="u_1", operation="chat", model="gpt")
            await found.submit(CreateGeneration(generation_id=name, request=request, own_id=True))
        assert (await found.account()).reserved == 100
        tally = await found.intake.process(
            [
                completed("e1", "paid", success=False, outcome="timed_out", usage={"out": 700}),
                completed("e2", "unpaid", success=False, outcome="cancelled", usage={"out": 700}),
            ]
        )
        assert (tally.applied, tally.refused) == (2, 0), (tally, await found.waiting())
        account = await found.account()
        assert (account.debited, account.reserved, account.available) == (35, 0, 965)
        rows = await found.rows("select data from events where type = 'generation-failed.v1' order by position")
        assert [json.loads(bytes(row["data"]))["data"]["usage"] for row in rows] == [{"out": 700}] * 2

    run(case)


def test_a_reservation_of_tokens_is_charged_in_tokens(run: Callable[[Case], None]) -> None:
    """What it really took is in the account's own unit; another unit is set aside rather than charged in full."""

    async def case(found: Bench) -> None:
        address = "user:u_1:tokens"
        await found.submit(Grant(address=address, grant_id="g1", amount=500, source="gift"))
        await found.grant(500)
        for name in ("some", "none"):
            await found.submit(Reserve(address=address, reservation_id=name, amount=100, own_id=True))
        await found.reserve("credits", 100)
        tally = await found.intake.process(
            [
                completed("e1", "some", actual={"tokens": 30}),
                completed("e2", "none", actual={"tokens": 0}),
                completed("e3", "credits", actual={"tokens": 30}),
            ]
        )
        assert (tally.applied, tally.refused) == (2, 1)
        stream = stream_of(address)
        tokens = (await found.ledger.current("acme", [stream])).states[stream]
        assert (tokens.debited, tokens.reserved) == (30, 0)
        credits_ = await found.account()
        assert (credits_.debited, credits_.reserved) == (0, 100)

    run(case)
