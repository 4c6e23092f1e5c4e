"""Undoing what a generation was charged: credits, tokens, money and places, whole or in part."""

from typing import Any

import pytest

from domain.credits.commands import Debit, Grant, Refund
from domain.credits.events import CreditsRefunded, ShortfallWrittenOff
from domain.generations.commands import ConfirmGeneration
from domain.generations.events import Charge, GenerationRefunded
from domain.generations.refund import RefundGeneration
from domain.generations.refusals import ExceedsCharge, InvalidSettlement, NoSuchGeneration, NothingToRefund
from domain.generations.settlement import Reported
from domain.organisations.events import OverActual
from domain.quotas.events import UseGivenBack
from tests.domain.credits.facts import granted, part, postpaid
from tests.domain.generations.facts import (
    APRIL_1,
    BUDGET,
    FORECAST,
    GROUP,
    JOB,
    SHARED,
    STORAGE,
    TOKENS,
    charge,
    chat,
    confirm,
    content,
    create,
    everything,
    group,
    joins,
    running,
    settings,
    shop,
)
from tests.domain.scenario import ALICE, Scenario, after
from tests.resource_names import Resource


def refund(number: int = 1, **more: Any) -> RefundGeneration:
    """Give back."""
    return RefundGeneration(generation_id="j1", refund_id=f"f{number}", **more)


def refunded(amount: int, debit: int, number: int = 1, grant: str = "g1") -> CreditsRefunded:
    """It came back to the account."""
    return CreditsRefunded(
        refund_id=f"f{number}.{debit}", debit_id=f"j1.{debit}", amount=amount, returned=(part(amount, grant),)
    )


def back(*charges: Charge, number: int = 1, contents: tuple[str, ...] = ()) -> GenerationRefunded:
    """The generation's own event."""
    return GenerationRefunded(generation_id="j1", refund_id=f"f{number}", returned=charges, contents=contents)


def used(scenario: Scenario) -> tuple[dict[str, int], dict[str, int]]:
    """What group and budget count."""
    return scenario.ledger.state(GROUP).quota.used, scenario.ledger.state(BUDGET).quota.used


def test_everything_comes_back() -> None:
    """S1-3, S2-3, S4-1: what was charged last first; stored contents stay where they are."""
    scenario = running().done(confirm(reported=Reported(contents=(content("c1", 5),))))
    scenario.when(refund()).then(
        (
            JOB,
            back(
                Charge(Resource.BUDGET, BUDGET, {"usd": 40_000}, period="2026-03"),
                Charge(Resource.GROUPS, GROUP, {"image": 1, "tokens.forecast": 4}),
                charge(Resource.PLAN, FORECAST, 4, 3),
                charge(Resource.TOKENS, TOKENS, 7, 2),
                charge(Resource.CREDITS, ALICE, 100, 1),
            ),
        ),
        (BUDGET, UseGivenBack(amounts={"usd": 40_000}, period="2026-03", ref="f1")),
        (GROUP, UseGivenBack(amounts={"image": 1, "tokens.forecast": 4}, period="", ref="f1")),
        (FORECAST, refunded(4, 3)),
        (TOKENS, refunded(7, 2)),
        (ALICE, refunded(100, 1)),
    )
    assert used(scenario) == ({}, {})
    assert scenario.ledger.state(STORAGE).quota.used == {"bytes": 5 * 1_048_576}
    scenario.when(refund(2)).then_refused(NothingToRefund(generation_id="j1"))


def test_a_part_gives_back_the_same_share_of_all_else() -> None:
    """S4-1: half, then the rest; in total exactly what was charged."""
    scenario = running(shop(), everything(options={"count": 3}, tokens=9)).done(confirm())
    scenario.done(refund(1, amount=150))
    assert (scenario.account().refunded, scenario.account(TOKENS).refunded, scenario.account(FORECAST).refunded) == (
        150,
        4,
        6,
    )
    assert used(scenario) == ({"image": 2, "tokens.forecast": 6}, {"usd": 60_000})
    scenario.when(refund(2, amount=151)).then_refused(ExceedsCharge(amount=151, left=150))
    scenario.done(refund(2))
    assert (scenario.account().refunded, scenario.account(TOKENS).refunded, scenario.account(FORECAST).refunded) == (
        300,
        9,
        12,
    )
    assert used(scenario) == ({}, {})


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_an_amount_comes_back_exactly_however_many_parts_were_charged(parts: int) -> None:
    """S4-1: one credit at a time, of a generation that was settled in parts of one credit."""
    scenario = running(request=chat())
    for _ in range(parts):
        scenario.done(confirm(reported=Reported(credits=1), final=False))
    scenario.done(confirm(reported=Reported(credits=0)))
    for number in range(parts):
        scenario.done(refund(number, amount=1))
        assert scenario.account().refunded == number + 1
    scenario.when(refund(9, amount=1)).then_refused(NothingToRefund(generation_id="j1"))


def test_places_charged_in_parts_all_come_back() -> None:
    """S1-3, S4-1: two parts in one period are one use, of which each refund gives back its share."""
    scenario = running(shop(), everything(options={"count": 4}, token_type=None, tokens=0))
    scenario.done(confirm(reported=Reported(succeeded=2), final=False), confirm())
    scenario.done(refund(1, amount=200))
    assert used(scenario) == ({"image": 2}, {"usd": 80_000})
    scenario.done(refund(2))
    assert used(scenario) == ({}, {})


def test_the_payer_that_was_charged_last_gets_it_first() -> None:
    """S4-1: of a split payment."""
    both = settings(pay_from=("user:{user}", "org:{org}"))
    scenario = running(shop(credits=30).given(granted(30), of=SHARED).given(both, of="organisation"), chat())
    scenario.done(confirm())
    scenario.when(refund(amount=25)).then(
        (JOB, back(charge(Resource.CREDITS, SHARED, 20, 2), charge(Resource.CREDITS, ALICE, 5, 1))),
        (SHARED, refunded(20, 2)),
        (ALICE, refunded(5, 1)),
    )


def test_named_contents_come_back_with_their_share() -> None:
    """S4-1: each once; three of them share 100 credits without a remainder."""
    made = Reported(contents=tuple(content(f"c{number}", 1) for number in range(3)))
    scenario = running(shop(), everything(tokens=0, token_type=None)).done(confirm(reported=made))
    amounts = []
    for number in range(3):
        before = scenario.account().refunded
        scenario.done(refund(number, contents=(f"c{number}",)))
        amounts.append(scenario.account().refunded - before)
    assert amounts == [33, 33, 34]
    assert used(scenario) == ({}, {})


def test_a_content_is_refunded_once_and_only_one_of_its_own() -> None:
    """S4-1."""
    made = Reported(contents=(content("c1", 1), content("c2", 1)))
    scenario = running().done(confirm(reported=made), refund(contents=("c1", "c1")))
    assert scenario.account().refunded == 50
    for name in ("c1", "c9"):
        refusal = InvalidSettlement(field="contents", reason=f"{name} is none of its contents still to refund")
        scenario.when(refund(2, contents=(name,))).then_refused(refusal)
    scenario.done(refund(3))
    assert scenario.account().refunded == 100


def test_what_was_refunded_debit_by_debit_is_not_given_back_twice() -> None:
    """S4-1: an operator has refunded the debit itself."""
    scenario = running(request=chat()).done(confirm())
    scenario.done(Refund(address=ALICE, refund_id="f0", debit_id="j1.1", amount=30))
    scenario.when(refund()).then((JOB, back(charge(Resource.CREDITS, ALICE, 20, 1))), (ALICE, refunded(20, 1)))
    scenario.when(refund(2)).then_refused(NothingToRefund(generation_id="j1"))


def test_two_debits_below_zero_lower_the_debt_no_further_than_it_is() -> None:
    """S4-1: a grant has repaid a part of the debt meanwhile; that part comes back as credits."""
    scenario = running(shop(credits=0).given(postpaid(100)), chat())
    scenario.done(confirm(reported=Reported(credits=25), final=False), confirm())
    assert scenario.account().owed == 50
    scenario.done(Grant(address=ALICE, grant_id="late", amount=30, source="purchase"))
    assert scenario.account().owed == 20
    scenario.done(refund())
    account = scenario.account()
    assert (account.owed, account.available, account.refunded) == (0, 30, 50)


def test_a_refund_after_the_period_changes_only_that_period() -> None:
    """S2-4: April's budget does not grow by what March gives back."""
    scenario = running().done(confirm()).at(APRIL_1)
    scenario.done(create(everything(), "j2"), ConfirmGeneration(generation_id="j2"), refund())
    assert used(scenario) == ({"image": 1, "tokens.forecast": 4}, {"usd": 40_000})


def test_places_in_several_groups_come_back_to_each() -> None:
    """S1-3."""
    scenario = running(joins(shop(), group("g2", image=5))).done(confirm(), refund())
    assert [scenario.ledger.state(f"group/{name}").quota.used for name in ("g1", "g2")] == [{}, {}]


@pytest.mark.parametrize("charged", [False, True])
def test_there_must_be_something_to_refund(charged: bool) -> None:
    """S4-1."""
    if charged:
        shop().when(refund()).then_refused(NoSuchGeneration(generation_id="j1"))
    else:
        running(request=chat()).when(refund()).then_refused(NothingToRefund(generation_id="j1"))


# ---- what was never paid


def short() -> Scenario:
    """Alice had 60 credits; each message, of which 50 were held for the first, really cost 100."""
    lenient = settings(over_actual=OverActual.AVAILABLE)
    scenario = running(shop(credits=60).given(lenient, of="organisation"), chat())
    return scenario.done(confirm(reported=Reported(credits=100)))


def test_a_full_refund_ends_the_shortfall() -> None:
    """S4-1: 60 were paid and come back; 40 were not, and no grant pays for them any more."""
    scenario = short()
    assert (scenario.account().debited, scenario.account().shortfall) == (60, 40)
    owed = Charge(Resource.CREDITS, "account/" + ALICE, {"credits": 40})
    done = scenario.when(refund()).decided.events
    assert done[0][1].written_off == (owed,)
    assert done[1] == ("account/" + ALICE, ShortfallWrittenOff(amount=40, generation_id="j1"))
    assert (scenario.account().available, scenario.account().shortfall) == (60, 0)
    scenario.done(Grant(address=ALICE, grant_id="g9", amount=100, source="gift"))
    assert scenario.account().available == 160
    scenario.when(refund(2)).then_refused(NothingToRefund(generation_id="j1"))


def test_what_was_never_paid_ends_before_anything_comes_back() -> None:
    """S4-1."""
    scenario = short().done(refund(amount=30))
    assert (scenario.account().available, scenario.account().shortfall) == (0, 10)
    scenario.done(refund(2, amount=30))
    assert (scenario.account().available, scenario.account().shortfall) == (20, 0)
    scenario.when(refund(3, amount=41)).then_refused(ExceedsCharge(amount=41, left=40))
    scenario.done(refund(3))
    assert (scenario.account().available, scenario.account().refunded) == (60, 60)


def test_what_a_grant_has_paid_since_is_no_longer_owed() -> None:
    """S4-1: the collection is a debit of its own, and can be refunded as such."""
    scenario = short().done(Grant(address=ALICE, grant_id="g9", amount=100, source="gift"), refund())
    assert (scenario.account().shortfall, scenario.account().refunded, scenario.account().available) == (0, 60, 120)


def test_a_generation_that_paid_nothing_can_be_refunded_too() -> None:
    """S4-1: a late completion of a user who has spent all."""
    scenario = running(shop(credits=50), chat()).at(after(901))
    scenario.done(Debit(address=ALICE, debit_id="d1", amount=50), confirm())
    assert scenario.account().shortfall == 50
    scenario.done(refund())
    assert (scenario.account().shortfall, scenario.account().available) == (0, 0)


def test_what_a_grant_has_paid_of_a_shortfall_does_not_keep_the_rest_from_coming_back() -> None:
    """S2-3, S4-1: nothing is charged or owed in credits any more, but places, tokens and money are still charged."""
    scenario = running().at(after(901)).done(Debit(address=ALICE, debit_id="d1", amount=1_000), confirm())
    assert scenario.account().shortfall == 100
    scenario.done(Grant(address=ALICE, grant_id="g9", amount=1_000, source="gift"))
    assert (scenario.account().shortfall, scenario.account(TOKENS).debited) == (0, 7)
    scenario.done(refund())
    assert (scenario.account().refunded, scenario.account(TOKENS).refunded) == (0, 7)
    assert used(scenario) == ({}, {})
    scenario.when(refund(2)).then_refused(NothingToRefund(generation_id="j1"))
