"""Use plan tokens of the organisation, or ask whether they could be used (S3)."""

from dataclasses import replace
from datetime import datetime

import pytest

from domain.credits.commands import ConfigureAccount, Grant
from domain.credits.events import CreditsDebited
from domain.credits.refusals import AccountClosed, AccountFrozen
from domain.groups.events import GroupCreated, GroupJoined
from domain.groups.refusals import GroupLimit
from domain.groups.state import memberships_of, stream_of
from domain.organisations.commands import ConfigureOrganisation
from domain.periods import Every
from domain.plans.deduct import DeductTokens, TokenAnswer, TokensNow
from domain.plans.publish import PublishFeatures
from domain.plans.refusals import InsufficientTokens, PlanBlocked
from domain.plans.state import Catalogue, UnknownTokenUse
from domain.quotas.events import PeriodStarted, UseCounted
from domain.refusal import Refusal
from tests.domain.organisations.offers import FORECAST, LEADS, TO_PRO, allotted, leads
from tests.domain.scenario import Scenario, after

REFRESH = after(days=30)
LEAD = DeductTokens(debit_id="d1", token_type="lead_generation", user="ann")
GENERAL = "org:acme:tokens.general"


def asked(scenario: Scenario, command: DeductTokens) -> TokenAnswer:
    answer: TokenAnswer = scenario.ask(
        TokensNow(
            token_type=command.token_type,
            feature=command.feature,
            quantity=command.quantity,
            complexity=command.complexity,
            user=command.user,
        )
    )
    return answer


def in_groups(scenario: Scenario, limit: int | None, *groups: str, every: Every = Every.TOTAL) -> Scenario:
    """Ann is in groups with this team quota for tokens for leads."""
    limits = {} if limit is None else {"tokens.lead_generation": limit}
    for group in groups:
        created = GroupCreated(group_id=group, name=group, description="", limits=limits, every=every)
        scenario.given(created, of=stream_of(group)).given(GroupJoined(group_id=group), of=memberships_of("ann"))
    return scenario


def test_a_deduction_is_a_debit_with_who_and_what_for() -> None:
    """S3-5: usage log: user, type, feature, tokens deducted; metadata sealed."""
    paid = (allotted("tokens.lead_generation", 10).grant,)
    command = replace(LEAD, feature="spring campaign", quantity=2, sealed="s")
    Scenario().done(TO_PRO).when(command).then(
        (LEADS, CreditsDebited(debit_id="d1", amount=10, slices=paid, item="spring campaign", sealed="s", user="ann"))
    )


def test_a_feature_says_which_tokens_it_takes() -> None:
    scenario = Scenario().done(TO_PRO, DeductTokens(debit_id="d1", feature="forecast", quantity=3))
    assert scenario.account(FORECAST).available == 18
    (event,) = (event for _, event in scenario.ledger.log if isinstance(event, CreditsDebited))
    assert (event.item, event.user) == ("forecast", None)


def test_exactly_enough_passes_and_one_more_does_not() -> None:
    """S3-6: deduct is atomic and never goes below zero."""
    scenario = Scenario().done(TO_PRO, replace(LEAD, quantity=10))
    assert leads(scenario).available == 0
    refusal = InsufficientTokens(token_type="lead_generation", required=5, available=0, refresh_date=REFRESH)
    scenario.when(replace(LEAD, debit_id="d2")).then_refused(refusal)
    assert refusal.facts()["deficit"] == 5
    assert refusal.facts()["refresh_date"] == "2026-03-31T12:00:00Z"
    assert str(refusal) == "Insufficient lead_generation tokens. 5 are needed and 0 are left: 5 are missing."


def test_at_the_refresh_date_there_are_tokens_again() -> None:
    scenario = Scenario().done(TO_PRO, replace(LEAD, quantity=10)).at(REFRESH).done(replace(LEAD, debit_id="d2"))
    assert leads(scenario).available == 45


@pytest.mark.parametrize(
    "token_type", ["lead_generation", "goal_generation", "strategy_analysis", "forecast", "general"]
)
def test_starter_is_blocked(token_type: str) -> None:
    """S3-2: starter 0 of everything (blocked), with the way out named."""
    command = DeductTokens(debit_id="d1", token_type=token_type)
    decided = Scenario().when(command).decided
    assert isinstance(decided.refusal, PlanBlocked)
    assert decided.refusal == PlanBlocked(token_type=token_type, plan="starter", required=decided.refusal.required)
    assert str(decided.refusal) == f"The plan starter has no {token_type} tokens. Upgrade the plan, or buy tokens."


def test_tokens_that_were_granted_otherwise_open_what_the_plan_blocks() -> None:
    """S3-9: `general` has no allowance in any plan: 0 unless granted; gifting by an admin."""
    command = DeductTokens(debit_id="d1", token_type="general", quantity=2)
    gift = Grant(address=GENERAL, grant_id="g1", amount=2, source="gift")
    scenario = Scenario().done(gift, command)
    assert scenario.account(GENERAL).available == 0
    scenario.when(replace(command, debit_id="d2")).then_refused(
        PlanBlocked(token_type="general", plan="starter", required=2)
    )
    scenario.done(replace(gift, grant_id="g2", amount=1))
    scenario.when(replace(command, debit_id="d2")).then_refused(
        InsufficientTokens(token_type="general", required=2, available=1, refresh_date=None)
    )


@pytest.mark.parametrize(
    ("switches", "refusal"), [({"frozen": True}, AccountFrozen()), ({"closed": True}, AccountClosed())]
)
def test_a_frozen_or_closed_account_pays_nothing(switches: dict[str, bool], refusal: Refusal) -> None:
    configure = ConfigureAccount(address=LEADS, **switches)  # type: ignore[arg-type]
    Scenario().done(TO_PRO, configure).when(LEAD).then_refused(refusal)


@pytest.mark.parametrize(
    "command",
    [
        DeductTokens(debit_id="d1"),
        DeductTokens(debit_id="d1", token_type="love"),
        DeductTokens(debit_id="d1", feature="love", user="ann"),
    ],
)
def test_what_is_unknown_is_refused_in_the_check_too(command: DeductTokens) -> None:
    scenario = Scenario().done(TO_PRO)
    assert isinstance(scenario.when(command).decided.refusal, UnknownTokenUse)
    with pytest.raises(UnknownTokenUse):
        asked(scenario, command)


def test_every_group_of_the_user_counts_what_was_used() -> None:
    """S3-9: team quotas (sub-limits per department); the period begins with the first use in it."""
    scenario = in_groups(Scenario().done(TO_PRO), 10, "g1", "g2", every=Every.WEEK)
    week = PeriodStarted(
        key="2026-W09", start=datetime.fromisoformat("2026-02-23T00:00:00Z"), end=after(-43_200, days=1)
    )
    counted = UseCounted(amounts={"tokens.lead_generation": 5}, user="ann", ref="d1")
    paid = (allotted("tokens.lead_generation", 5).grant,)
    scenario.when(LEAD).then(
        (LEADS, CreditsDebited(debit_id="d1", amount=5, slices=paid, item="lead_generation", user="ann")),
        ("group/g1", week),
        ("group/g1", counted),
        ("group/g2", week),
        ("group/g2", counted),
    )


def test_a_team_quota_without_room_refuses_although_there_are_tokens() -> None:
    """S3-9."""
    scenario = in_groups(in_groups(Scenario().done(TO_PRO), 12, "g1"), 500, "g2")
    scenario.done(LEAD, replace(LEAD, debit_id="d2"))
    refusal = GroupLimit(group_id="g1", what="tokens.lead_generation", limit=12, used=10, remaining=2)
    scenario.when(replace(LEAD, debit_id="d3")).then_refused(refusal)
    assert leads(scenario).available == 40
    scenario.done(replace(LEAD, debit_id="d3", user="bob"), replace(LEAD, debit_id="d4", user=None))
    scenario.done(replace(LEAD, debit_id="d5", token_type="forecast"))


def test_an_organisation_may_leave_groups_unchecked() -> None:
    """Contract: `enforce` switches systems off."""
    scenario = in_groups(Scenario().done(TO_PRO, ConfigureOrganisation(enforce=("plan",))), 0, "g1")
    scenario.done(LEAD)
    assert leads(scenario).available == 45


def test_new_costs_hold_at_once() -> None:
    """S3-1, S3-9: costs are configurable, complex operations cost more, bulk discounts."""
    first = Catalogue()
    lead = replace(first.features["generate_leads"], complexity={"complex": 200}, bulk=((2, 50),))
    publish = PublishFeatures(features=(lead,), token_costs={**first.token_costs, "lead_generation": 6})
    scenario = Scenario().done(TO_PRO, publish, LEAD)
    assert leads(scenario).available == 44
    scenario.done(DeductTokens(debit_id="d2", feature="generate_leads", quantity=3, complexity="complex"))
    assert leads(scenario).available == 44 - 15


def refused(reason: str, cost: int, balance: int, refresh: datetime | None = REFRESH) -> tuple[object, ...]:
    return (False, reason, "lead_generation", cost, balance, refresh)


@pytest.mark.parametrize(
    ("scenario", "quantity", "expected"),
    [
        (Scenario(), 1, refused("plan_blocked", 5, 0, None)),
        (Scenario().done(TO_PRO), 11, refused("insufficient_tokens", 55, 50)),
        (in_groups(Scenario().done(TO_PRO), 4, "g1"), 1, refused("group_limit", 5, 50)),
        (in_groups(Scenario().done(TO_PRO), 4, "g1"), 11, refused("group_limit", 55, 50)),
        (Scenario().done(TO_PRO, ConfigureAccount(address=LEADS, frozen=True)), 1, refused("account_frozen", 5, 50)),
        (Scenario().done(TO_PRO), 10, (True, "ok", "lead_generation", 50, 50, REFRESH)),
        (in_groups(Scenario().done(TO_PRO), 50, "g1"), 10, (True, "ok", "lead_generation", 50, 50, REFRESH)),
    ],
)
def test_the_check_says_what_the_deduction_would_do(
    scenario: Scenario, quantity: int, expected: tuple[object, ...]
) -> None:
    """S3-6: has enough; balance of one type. The first reason of the contract's order is told; nothing is written."""
    command = replace(LEAD, quantity=quantity)
    before = len(scenario.ledger.log)
    answer = asked(scenario, command)
    assert answer[:6] == expected
    assert len(scenario.ledger.log) == before
    assert scenario.when(command).decided.refusal == answer.refusal
