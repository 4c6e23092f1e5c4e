"""A resource of each family, in a domain of the test's own: nothing but its class and its row is needed."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from domain.credits.events import (
    CreditsDebited,
    CreditsRefunded,
    CreditsReserved,
    ReservationCaptured,
    ReservationExpired,
    ReservationExtended,
    ReservationReleased,
)
from domain.generations.assessment import Assessment
from domain.generations.commands import CancelGeneration, ConfirmGeneration, ExtendGeneration, FailGeneration
from domain.generations.create import CreateGeneration
from domain.generations.refund import RefundGeneration
from domain.generations.refusals import InsufficientTokens, ResourcesShort
from domain.generations.request import Request
from domain.generations.settlement import Reported
from domain.kernel.domain import LetTimePass, Module
from domain.organisations.commands import ConfigureOrganisation
from domain.organisations.events import Outcome
from domain.periods import Every
from domain.quotas import quota as quotas
from domain.quotas.events import (
    Amounts,
    PeriodStarted,
    UseCounted,
    UseExpired,
    UseExtended,
    UseGivenBack,
    UseHeld,
    UseReleased,
    UseSettled,
)
from domain.quotas.quota import Quota
from domain.refusal import Refusal
from domain.registry import scrip
from domain.resources.account import AccountResource
from domain.resources.quota import QuotaResource
from domain.resources.resource import ASK_ADMIN, Action
from domain.resources.table import RESOURCES, Resources
from tests.domain.credits.facts import granted
from tests.domain.scenario import Scenario, after


class GpuUse(NamedTuple):
    """What a user has computed in this month."""

    quota: Quota = Quota()


class Gpu(QuotaResource):
    """GPU seconds: 30 for each piece, 100 a month."""

    name = figure = "gpu"
    reason = "insufficient_gpu"
    short = "not enough GPU seconds"
    kind = "gpu/"
    ways_out = (ASK_ADMIN,)

    def limit(self, _work: object, _state: object, _unit: str) -> int:
        return 100

    def period(self, _state: object) -> Every:
        return Every.MONTH

    def first_streams(self, request: Request) -> tuple[str, ...]:
        return (f"gpu/{request.user}",)

    def quote(self, assessment: Assessment) -> None:
        assessment.amounts["gpu"] = 30 * assessment.count

    def needs(self, assessment: Assessment) -> Iterable[tuple[str, Amounts]]:
        return ((f"gpu/{assessment.request.user}", {"gpu": assessment.amounts["gpu"]}),)


class Coins(AccountResource):
    """Coins: ten for each piece."""

    name = unit = figure = "coins"
    reason = "insufficient_coins"
    short = "not enough coins"
    buy = Action("Buy Coins", "tokens")

    def too_few(self, required: int, available: int) -> Refusal:
        return InsufficientTokens(required, available)

    def quote(self, assessment: Assessment) -> None:
        assessment.amounts["coins"] = 10 * assessment.count


TABLE = Resources(*RESOURCES.all, Gpu(), Coins())
DOMAIN = scrip(TABLE).joined(
    Module(kinds={"gpu/": quotas.kind(GpuUse(), lambda use, event: GpuUse(quotas.evolve(use.quota, event)))})
)
GPU, COINS = "gpu/ann", "account/user:ann:coins"
LATER = after(1_000)


def _shop(coins: int = 100) -> Scenario:
    scenario = Scenario(DOMAIN).given(granted(coins, "g"), of=COINS)
    return scenario.done(ConfigureOrganisation(enforce=("gpu", "coins")))


def _create(count: int = 3) -> CreateGeneration:
    return CreateGeneration(
        generation_id="j", request=Request(user="ann", operation="image", options={"count": count}), own_id=True
    )


def _confirm(**more: Any) -> ConfirmGeneration:
    reported = Reported(succeeded=more.pop("succeeded", None))
    return ConfirmGeneration(generation_id="j", reported=reported, **more)


def _both(scenario: Scenario, command: Any) -> tuple[list[Any], list[Any]]:
    """What an accepted command does to the GPU seconds, and to the coins."""
    before = len(scenario.ledger.log)
    scenario.done(command)
    happened = scenario.ledger.log[before:]
    return [event for home, event in happened if home == GPU], [event for home, event in happened if home == COINS]


def _left(scenario: Scenario) -> tuple[int, int, int]:
    """GPU seconds that are used and held, and coins that may be spent."""
    quota = scenario.ledger.state(GPU).quota
    return quota.used.get("gpu", 0), quota.held.get("gpu", 0), scenario.ledger.state(COINS).spendable


def test_it_is_held() -> None:
    scenario = _shop()
    gpu, coins = _both(scenario, _create())
    assert [type(event) for event in gpu] == [PeriodStarted, UseHeld]
    assert gpu[1] == UseHeld(generation_id="j", amounts={"gpu": 90}, expires_at=after(900))
    assert [(type(event), event.amount) for event in coins] == [(CreditsReserved, 30)]
    assert _left(scenario) == (0, 90, 70)


def test_too_little_of_it_is_a_refusal_that_says_so() -> None:
    refusal = _shop(coins=25).when(_create(count=4)).decided.refusal
    assert isinstance(refusal, ResourcesShort)
    assert refusal.code == refusal.told["reason"] == "insufficient_gpu"
    assert [(check["resource"], check["ok"]) for check in refusal.told["checks"]] == [("gpu", False), ("coins", False)]
    assert "Not enough gpu seconds. This needs 120, but only 100 of 100 is left." in str(refusal)


def test_exactly_enough_is_enough() -> None:
    assert _left(_shop(coins=30).done(_create())) == (0, 90, 0)


def test_it_is_not_checked_where_it_is_not_enforced() -> None:
    scenario = _shop(coins=1).done(ConfigureOrganisation(enforce=()), _create(count=10))
    assert _left(scenario) == (0, 0, 1)


def test_its_hold_is_extended() -> None:
    scenario = _shop().done(_create())
    gpu, coins = _both(scenario, ExtendGeneration(generation_id="j", ttl_s=2_000))
    assert gpu == [UseExtended(generation_id="j", expires_at=after(2_000))]
    assert coins == [ReservationExtended(reservation_id="j", expires_at=after(2_000), grown=0, slices=())]


def test_it_expires_and_is_charged_late() -> None:
    scenario = _shop().done(_create()).at(LATER)
    gpu, coins = _both(scenario, LetTimePass(stream="generation/j"))
    assert gpu == [UseExpired(generation_id="j", amounts={"gpu": 90})]
    assert [type(event) for event in coins] == [ReservationExpired]
    assert _left(scenario) == (0, 0, 100)
    gpu, coins = _both(scenario, _confirm())
    assert gpu == [UseCounted(amounts={"gpu": 90}, user="ann", ref="j")]
    assert [(type(event), event.amount) for event in coins] == [(CreditsDebited, 30)]
    assert _left(scenario) == (90, 0, 70)


def test_a_part_of_it_is_settled_and_the_rest_stays_held() -> None:
    scenario = _shop().done(_create())
    gpu, coins = _both(scenario, _confirm(final=False, succeeded=1))
    assert gpu == [UseSettled(generation_id="j", used={"gpu": 30}, returned={}, final=False, period="2026-03")]
    assert [(type(event), event.amount, event.final) for event in coins] == [(ReservationCaptured, 10, False)]
    assert _left(scenario) == (30, 60, 70)
    scenario.done(_confirm(succeeded=1))
    assert _left(scenario) == (60, 0, 80)


def test_it_comes_back_from_a_failure() -> None:
    scenario = _shop().done(_create())
    gpu, coins = _both(scenario, FailGeneration(generation_id="j", outcome=Outcome.TIMED_OUT))
    assert gpu == [UseSettled(generation_id="j", used={}, returned={"gpu": 90}, period="2026-03")]
    assert [type(event) for event in coins] == [ReservationReleased]
    assert _left(scenario) == (0, 0, 100)


def test_a_failure_costs_what_the_organisation_says() -> None:
    scenario = _shop().done(ConfigureOrganisation(settlement_policy={"timed_out": 50}), _create())
    scenario.done(FailGeneration(generation_id="j", outcome=Outcome.TIMED_OUT))
    assert _left(scenario) == (0, 0, 85)


def test_it_comes_back_from_what_is_called_off() -> None:
    scenario = _shop().done(_create())
    gpu, coins = _both(scenario, CancelGeneration(generation_id="j"))
    assert gpu == [UseReleased(generation_id="j", amounts={"gpu": 90})]
    assert [type(event) for event in coins] == [ReservationReleased]


def test_it_is_refunded() -> None:
    scenario = _shop().done(_create(), _confirm())
    gpu, coins = _both(scenario, RefundGeneration(generation_id="j", refund_id="r", amount=10))
    assert gpu == [UseGivenBack(amounts={"gpu": 30}, period="2026-03", ref="r")]
    assert [(type(event), event.amount) for event in coins] == [(CreditsRefunded, 10)]
    assert _left(scenario) == (60, 0, 80)
    scenario.done(RefundGeneration(generation_id="j", refund_id="r2"))
    assert _left(scenario) == (0, 0, 100)
