"""Settling a generation that succeeded: what it really cost is charged, what it made is stored, the rest goes back."""

from typing import Any

import pytest

from domain.credits.commands import Grant
from domain.credits.events import CreditsDebited, Paid, ShortfallCollected, ShortfallRecorded
from domain.credits.refusals import AlreadyExists
from domain.generations.commands import ConfirmGeneration, StartGeneration
from domain.generations.events import Charge, GenerationCompleted, GenerationPartCompleted, Held
from domain.generations.refusals import AlreadyStarted, GenerationEnded, InvalidSettlement, NoSuchGeneration
from domain.generations.settlement import Reported
from domain.groups.commands import DeleteGroup
from domain.organisations.events import OverActual
from domain.prices.events import PriceEntry
from domain.prices.refusals import Unpriced
from domain.storage.events import ContentStored, StorageLimitSet
from tests.domain.credits.facts import granted, part
from tests.domain.generations.facts import (
    APRIL_1,
    BUDGET,
    FLUX,
    FORECAST,
    GROUP,
    JOB,
    MB,
    SHARED,
    STORAGE,
    TOKENS,
    captured,
    charge,
    chat,
    confirm,
    content,
    create,
    everything,
    released,
    running,
    settings,
    shop,
    use_released,
    use_settled,
    without,
)
from tests.domain.scenario import ALICE, Scenario
from tests.resource_names import Resource

MARCH = "2026-03"
CHARGES = (
    charge(Resource.CREDITS, ALICE, 100, 1),
    charge(Resource.TOKENS, TOKENS, 7, 2),
    charge(Resource.PLAN, FORECAST, 4, 3),
    Charge(Resource.GROUPS, GROUP, {"image": 1, "tokens.forecast": 4}),
    Charge(Resource.BUDGET, BUDGET, {"usd": 40_000}, period=MARCH),
)
AVAILABLE = settings(over_actual=OverActual.AVAILABLE)


def completed(charges: tuple[Charge, ...] = CHARGES, **more: Any) -> GenerationCompleted:
    """The end of a generation that succeeded."""
    terms: dict[str, Any] = {"usd": 40_000, "succeeded": 1} | more
    return GenerationCompleted(generation_id="j1", user="alice", charges=charges, **terms)


def talking(scenario: Scenario | None = None, **more: Any) -> Scenario:
    """A generation that holds 50 credits and nothing else."""
    return running(scenario, chat(), **more)


def talked(charges: tuple[Charge, ...], **more: Any) -> GenerationCompleted:
    """Its end."""
    return completed(charges, **({"usd": 0} | more))


def debited(amount: int, number: int) -> CreditsDebited:
    """Charged from what is available."""
    return CreditsDebited(debit_id=f"j1.{number}", amount=amount, slices=(part(amount),), user="alice")


def test_without_figures_the_holds_are_charged_and_what_was_made_is_stored() -> None:
    """S0-5, S1-3, S2-3, S3-6, S4-1: credits, tokens, plan tokens, places and money; the space held becomes used."""
    made = Reported(contents=(content("c1", 3), content("c2", 4)), provider_cost=Paid(31_000, "USD"))
    running().when(confirm(reported=made, sealed="s", sealed_urls={"c1": "u1"})).then(
        (JOB, completed(contents=made.contents, provider_cost=Paid(31_000, "USD"), sealed="s")),
        (ALICE, captured(100, 1)),
        (TOKENS, captured(7, 2)),
        (FORECAST, captured(4, 3)),
        (GROUP, use_settled({"image": 1, "tokens.forecast": 4})),
        (BUDGET, use_settled({"usd": 40_000}, period=MARCH)),
        (STORAGE, ContentStored(content_id="c1", bytes=3 * MB, generation_id="j1", sealed="u1")),
        (STORAGE, ContentStored(content_id="c2", bytes=4 * MB, generation_id="j1")),
        (STORAGE, use_released(bytes=5 * MB)),
    )


def test_actual_figures_below_the_hold_return_the_rest() -> None:
    """S2-3, S4-1."""
    running().when(confirm(reported=Reported(credits=60, tokens=2, usd=15_000))).then(
        (
            JOB,
            completed(
                (
                    charge(Resource.CREDITS, ALICE, 60, 1),
                    charge(Resource.TOKENS, TOKENS, 2, 2),
                    charge(Resource.PLAN, FORECAST, 4, 3),
                    CHARGES[3],
                    Charge(Resource.BUDGET, BUDGET, {"usd": 15_000}, period=MARCH),
                ),
                usd=15_000,
                returned={"credits": 40, "tokens": 5, "usd": 25_000},
            ),
        ),
        (ALICE, captured(60, 1, of=100)),
        (TOKENS, captured(2, 2, of=7)),
        (FORECAST, captured(4, 3)),
        (GROUP, use_settled({"image": 1, "tokens.forecast": 4})),
        (BUDGET, use_settled({"usd": 15_000}, {"usd": 25_000}, period=MARCH)),
        (STORAGE, use_released(bytes=5 * MB)),
    )


def test_what_cost_nothing_goes_back_whole() -> None:
    """S4-1."""
    talking().when(confirm(reported=Reported(credits=0))).then(
        (JOB, talked((), returned={"credits": 50})),
        (ALICE, released(50)),
    )


def test_of_several_only_those_that_succeeded_are_charged() -> None:
    """S2-3, S4-1: one of three succeeded; shares are rounded up, the places of the others are free again."""
    scenario = running(shop(), everything(options={"count": 3}, tokens=8))
    scenario.done(confirm(reported=Reported(succeeded=1)))
    charges = [tuple(item.amounts.values()) for item in scenario.ledger.state(JOB).charges]
    assert charges == [(100,), (3,), (4,), (1, 4), (40_000,)]
    assert scenario.ledger.state(GROUP).quota[:2] == ({"image": 1, "tokens.forecast": 4}, {})
    assert scenario.ledger.state(STORAGE).quota[:2] == ({}, {})


def test_more_cannot_succeed_than_was_asked_for() -> None:
    """S4-1."""
    refusal = InvalidSettlement(field="succeeded", reason="at most 1 of 1 are left", limit=1)
    talking().when(confirm(reported=Reported(succeeded=2))).then_refused(refusal)


# ---- parts


def test_a_part_is_charged_and_the_rest_stays_held() -> None:
    """S4-1: with `final` false, two of three; then the last one."""
    scenario = running(shop(), everything(options={"count": 3}, tokens=0, token_type=None))
    rest = (
        Held(Resource.CREDITS, f"account/{ALICE}", {"credits": 100}),
        Held(Resource.GROUPS, GROUP, {"image": 1}),
        Held(Resource.BUDGET, BUDGET, {"usd": 40_000}),
        Held(Resource.STORAGE, STORAGE, {"bytes": 9 * MB}),
    )
    first = (
        charge(Resource.CREDITS, ALICE, 200, 1),
        Charge(Resource.GROUPS, GROUP, {"image": 2}),
        Charge(Resource.BUDGET, BUDGET, {"usd": 80_000}, period=MARCH),
    )
    made = (content("c1", 6),)
    scenario.when(confirm(reported=Reported(succeeded=2, contents=made), final=False)).then(
        (
            JOB,
            GenerationPartCompleted(
                generation_id="j1", user="alice", charges=first, usd=80_000, succeeded=2, contents=made, holds=rest
            ),
        ),
        (ALICE, captured(200, 1, of=300, final=False)),
        (GROUP, use_settled({"image": 2}, final=False)),
        (BUDGET, use_settled({"usd": 80_000}, period=MARCH, final=False)),
        (STORAGE, ContentStored(content_id="c1", bytes=6 * MB, generation_id="j1")),
        (STORAGE, use_settled({}, {"bytes": 6 * MB}, final=False)),
    )
    last = (
        charge(Resource.CREDITS, ALICE, 100, 4),
        Charge(Resource.GROUPS, GROUP, {"image": 1}),
        Charge(Resource.BUDGET, BUDGET, {"usd": 40_000}, period=MARCH),
    )
    scenario.when(confirm()).then(
        (JOB, completed(last)),
        (ALICE, captured(100, 4)),
        (GROUP, use_settled({"image": 1})),
        (BUDGET, use_settled({"usd": 40_000}, period=MARCH)),
        (STORAGE, use_released(bytes=9 * MB)),
    )


def test_a_part_that_reports_nothing_is_charged_nothing() -> None:
    """S4-1: what a part does not say follows at the end."""
    scenario = talking().done(confirm(final=False))
    assert (scenario.account().reserved, scenario.account().debited) == (50, 0)
    scenario.done(confirm())
    assert (scenario.account().reserved, scenario.account().debited) == (0, 50)


def test_parts_may_store_more_than_was_held() -> None:
    """S0-5: bytes are recorded as they are, part by part, past what was held and past the limit."""
    scenario = running(shop().given(StorageLimitSet(limit=5 * MB), of=STORAGE))
    for number in range(3):
        part_made = Reported(contents=(content(f"c{number}", 4),))
        scenario.done(confirm(reported=part_made, final=False))
    assert scenario.ledger.state(STORAGE).quota[:2] == ({"bytes": 12 * MB}, {})
    scenario.done(confirm())
    assert scenario.ledger.state(STORAGE).quota[:3] == (
        {"bytes": 12 * MB},
        {},
        scenario.ledger.state(GROUP).quota.holds,
    )


# ---- measured use


def test_usage_is_priced_by_the_version_that_priced_the_hold() -> None:
    """S4-1: 1,000 units of input at 10 and 500 of output at 30 per 1,000 are 25 credits, whatever is dearer now."""
    scenario = talking()
    scenario.given_prices(FLUX, PriceEntry(provider="Open", model="gpt", operation="chat", credits=9, rates={"x": 1}))
    scenario.when(confirm(reported=Reported(usage={"input": 1000, "output": 500}))).then(
        (
            JOB,
            talked(
                (charge(Resource.CREDITS, ALICE, 25, 1),),
                returned={"credits": 25},
                usage={"input": 1000, "output": 500},
            ),
        ),
        (ALICE, captured(25, 1, of=50)),
    )


def test_usage_of_a_unit_without_a_rate_is_refused() -> None:
    """S4-2."""
    refusal = Unpriced(asked="Open gpt by seconds", priced=("input", "output"))
    talking().when(confirm(reported=Reported(usage={"seconds": 3}))).then_refused(refusal)


def test_usage_of_nothing_costs_nothing() -> None:
    """S4-1."""
    scenario = talking().done(confirm(reported=Reported(usage={"input": 0})))
    assert (scenario.account().debited, scenario.account().reserved) == (0, 0)


# ---- above the hold


def test_above_the_hold_is_left_uncharged_where_the_organisation_refuses_it() -> None:
    """S4-1: the default; the hold is charged and the rest is reported."""
    talking().when(confirm(reported=Reported(credits=80))).then(
        (JOB, talked((charge(Resource.CREDITS, ALICE, 50, 1),), uncharged={"credits": 30})),
        (ALICE, captured(50, 1)),
    )


def test_above_the_hold_is_charged_from_what_is_available() -> None:
    """S4-1: setting `over_actual`."""
    talking(shop().given(AVAILABLE, of="organisation")).when(confirm(reported=Reported(credits=80))).then(
        (JOB, talked((charge(Resource.CREDITS, ALICE, 50, 1), charge(Resource.CREDITS, ALICE, 30, 2)))),
        (ALICE, captured(50, 1)),
        (ALICE, debited(30, 2)),
    )


def test_what_is_not_available_is_a_shortfall_that_the_next_grant_pays() -> None:
    """S4-1: nothing is dropped in silence; the payers are asked in their order."""
    both = settings(over_actual=OverActual.AVAILABLE, pay_from=("user:{user}", "org:{org}"))
    scenario = talking(shop(credits=60).given(granted(5), of=SHARED).given(both, of="organisation"))
    scenario.when(confirm(reported=Reported(credits=80))).then(
        (
            JOB,
            talked(
                (
                    charge(Resource.CREDITS, ALICE, 50, 1),
                    charge(Resource.CREDITS, ALICE, 10, 2),
                    charge(Resource.CREDITS, SHARED, 5, 3),
                ),
                shortfall={"credits": 15},
            ),
        ),
        (ALICE, captured(50, 1)),
        (ALICE, debited(10, 2)),
        (SHARED, debited(5, 3)),
        (ALICE, ShortfallRecorded(generation_id="j1", amount=15)),
    )
    assert scenario.account().shortfall == 15
    scenario.when(Grant(address=ALICE, grant_id="g2", amount=20, source="purchase")).then(
        granted(20, "g2"),
        ShortfallCollected(debit_id="shortfall.g2.60", amount=15, slices=(part(15, "g2"),)),
    )
    assert (scenario.account().available, scenario.account().shortfall) == (5, 0)


def test_cost_in_a_resource_that_is_not_checked_is_reported_only() -> None:
    """S4-1."""
    scenario = running(shop().given(without(Resource.CREDITS), of="organisation"), chat(tokens=1))
    scenario.when(confirm(reported=Reported(credits=80))).then(
        (JOB, talked((charge(Resource.TOKENS, TOKENS, 1, 1),), uncharged={"credits": 80})),
        (TOKENS, captured(1, 1)),
    )


def test_money_really_spent_is_recorded_even_above_the_budget() -> None:
    """S2-3."""
    scenario = running()
    scenario.done(confirm(reported=Reported(usd=12_000_000)))
    assert scenario.ledger.state(BUDGET).quota.used == {"usd": 12_000_000}
    assert scenario.ledger.state(BUDGET).remaining == 0


def test_money_that_no_price_named_counts_too() -> None:
    """S2-3: nothing was held of the budget; the month begins with the record."""
    scenario = talking().done(confirm(reported=Reported(usd=300)))
    quota = scenario.ledger.state(BUDGET).quota
    assert (quota.used, quota.key) == ({"usd": 300}, MARCH)
    assert scenario.ledger.state(JOB).charges[1:] == (Charge(Resource.BUDGET, BUDGET, {"usd": 300}, period=MARCH),)


def test_a_hold_counts_in_the_period_in_which_it_was_made() -> None:
    """S2-4: confirmed in April, it is no use of April's budget."""
    scenario = running(shop().at(APRIL_1.replace(month=3, day=31)), everything(), ttl_s=604_800).at(APRIL_1)
    decided = scenario.when(confirm()).decided
    assert decided.due == 1
    assert (BUDGET, use_settled({"usd": 40_000}, period=MARCH)) in decided.events
    assert scenario.ledger.state(BUDGET).quota[:2] == ({}, {})
    assert scenario.ledger.state(BUDGET).remaining == 10_000_000


# ---- what a confirmation must not do


def test_a_contents_id_is_used_once() -> None:
    """S0-5."""
    scenario = running().given(ContentStored(content_id="c1", bytes=1), of=STORAGE)
    twice = InvalidSettlement(field="contents", reason="each id may be named once")
    scenario.when(confirm(reported=Reported(contents=(content("c2", 1), content("c2", 1))))).then_refused(twice)
    known = AlreadyExists(field="contents.id", value="c1")
    scenario.when(confirm(reported=Reported(contents=(content("c1", 1),)))).then_refused(known)


def test_a_generation_ends_once() -> None:
    """S4-1."""
    scenario = talking().done(confirm())
    scenario.when(confirm()).then_refused(GenerationEnded(generation_id="j1", status="completed"))
    scenario.when(ConfirmGeneration(generation_id="j2")).then_refused(NoSuchGeneration(generation_id="j2"))


def test_a_refused_generation_cannot_be_settled() -> None:
    """S4-1."""
    scenario = shop(credits=0)
    scenario.when(create(chat()))
    scenario.when(confirm()).then_refused(NoSuchGeneration(generation_id="j1"))


@pytest.mark.parametrize("started", [False, True])
def test_a_user_settles_an_own_hold_only_before_a_worker_begins(started: bool) -> None:
    """S4-4."""
    scenario = talking()
    if started:
        scenario.done(StartGeneration(generation_id="j1"))
        scenario.when(confirm(unstarted=True)).then_refused(AlreadyStarted(generation_id="j1"))
    else:
        scenario.done(confirm(unstarted=True))


def test_a_group_that_was_deleted_or_left_still_ends_the_hold() -> None:
    """S1-2: what was held in it is settled as ever."""
    scenario = running().done(DeleteGroup(group_id="g1"), confirm())
    assert not scenario.ledger.state(GROUP).quota.holds
    assert scenario.ledger.state(GROUP).quota.used == {"image": 1, "tokens.forecast": 4}
