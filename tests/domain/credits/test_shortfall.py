"""Work that could not be paid for: collected from what comes in next, or written off (contract)."""

import pytest

from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.credits.commands import Debit, ExceedsShortfall, Grant, WriteOffShortfall
from domain.credits.events import (
    CreditsGranted,
    GrantScheduled,
    ShortfallCollected,
    ShortfallRecorded,
    ShortfallWrittenOff,
)
from domain.kernel.domain import LetTimePass
from tests.domain.credits.facts import granted, part
from tests.domain.organisations.offers import LEADS, TO_PRO, allotted, allowance, leads
from tests.domain.scenario import ALICE, Scenario, after, given

SHORT = ShortfallRecorded(generation_id="gen1", amount=30)


def incoming(amount: int, grant: str = "g1") -> Grant:
    return Grant(address=ALICE, grant_id=grant, amount=amount, source="purchase")


def sums(account: Account) -> tuple[int, int, int]:
    return account.available, account.debited, account.shortfall


@pytest.mark.parametrize(
    ("amount", "collected", "expected"), [(10, 10, (0, 10, 20)), (30, 30, (0, 30, 0)), (50, 30, (20, 30, 0))]
)
def test_the_next_grant_pays_it_as_far_as_it_goes(amount: int, collected: int, expected: tuple[int, int, int]) -> None:
    """S4-1."""
    scenario = given(SHORT)
    scenario.when(incoming(amount)).then(
        CreditsGranted(grant=part(amount)),
        ShortfallCollected(debit_id="shortfall.g1.0", amount=collected, slices=(part(collected),)),
    )
    assert sums(scenario.account()) == expected


def test_several_grants_pay_it_one_after_the_other() -> None:
    scenario = given(SHORT).done(incoming(20, "g1"), incoming(20, "g2"), incoming(20, "g3"))
    assert sums(scenario.account()) == (30, 30, 0)
    debits = [event.debit_id for _, event in scenario.ledger.log if isinstance(event, ShortfallCollected)]
    assert debits == ["shortfall.g1.0", "shortfall.g2.20"]


def test_a_promised_grant_pays_it_when_it_begins() -> None:
    promised = GrantScheduled(grant=part(50), effective_at=after(60))
    scenario = given(promised, SHORT).at(after(60))
    scenario.when(LetTimePass(stream=stream_of(ALICE))).then(
        due=(
            CreditsGranted(grant=part(50)),
            ShortfallCollected(debit_id="shortfall.g1.0", amount=30, slices=(part(30),)),
        )
    )
    assert sums(scenario.account()) == (20, 30, 0)


def test_a_plan_pays_it_with_the_next_cycle() -> None:
    scenario = Scenario().done(TO_PRO, Debit(address=LEADS, debit_id="d1", amount=50)).given(SHORT, of=LEADS)
    scenario.at(after(days=30)).done(LetTimePass(stream=stream_of(LEADS)))
    assert sums(leads(scenario)) == (20, 80, 0)


def test_a_plan_that_is_chosen_pays_it_at_once() -> None:
    unit = "tokens.lead_generation"
    scenario = Scenario().given(SHORT, of=LEADS)
    events = [event for stream, event in scenario.when(TO_PRO).decided.events if stream == stream_of(LEADS)]
    paid = ShortfallCollected(debit_id=f"shortfall.plan.{unit}.0.0.0", amount=30, slices=(allotted(unit, 30).grant,))
    assert events == [allowance(unit, 50, "pro"), allotted(unit, 50), paid]
    assert sums(leads(scenario)) == (20, 30, 0)


def test_what_was_collected_is_a_debit_that_is_counted() -> None:
    """The books balance after every event (tests/domain/memory.py checks each)."""
    scenario = given(granted(5), SHORT).done(incoming(100, "g2"))
    account = scenario.account()
    assert (account.granted, account.debited, account.available) == (105, 30, 75)


@pytest.mark.parametrize(("amount", "written_off"), [(None, 30), (30, 30), (1, 1)])
def test_it_can_be_written_off_whole_or_in_part(amount: int | None, written_off: int) -> None:
    """S4-1."""
    scenario = given(SHORT)
    command = WriteOffShortfall(address=ALICE, amount=amount, sealed="s")
    scenario.when(command).then(ShortfallWrittenOff(amount=written_off, sealed="s"))
    scenario.done(incoming(100))
    assert sums(scenario.account()) == (70 + written_off, 30 - written_off, 0)


def test_no_more_can_be_written_off_than_is_owed() -> None:
    refusal = ExceedsShortfall(amount=31, left=30)
    given(SHORT).when(WriteOffShortfall(address=ALICE, amount=31)).then_refused(refusal)
    assert str(refusal) == "The amount 31 is more than the 30 that the account is short of."


def test_nothing_can_be_written_off_where_nothing_is_owed() -> None:
    refusal = ExceedsShortfall(amount=0, left=0)
    given(granted(5)).when(WriteOffShortfall(address=ALICE)).then_refused(refusal)
    assert str(refusal) == "The account has no shortfall."
