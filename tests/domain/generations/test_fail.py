"""A generation that failed: what goes back, and what the organisation's policy keeps."""

import pytest

from domain.credits.commands import VoidGrant
from domain.credits.events import GrantVoided, Paid
from domain.generations.commands import FailGeneration
from domain.generations.events import GenerationFailed
from domain.generations.settlement import Reported
from domain.organisations.events import Outcome, OverActual
from domain.prices.refusals import Unpriced
from tests.domain.credits.facts import part
from tests.domain.generations.facts import (
    BUDGET,
    FORECAST,
    GROUP,
    JOB,
    MB,
    STORAGE,
    TOKENS,
    captured,
    charge,
    chat,
    confirm,
    everything,
    released,
    running,
    settings,
    shop,
    use_released,
    use_settled,
)
from tests.domain.scenario import ALICE, Result
from tests.resource_names import Resource

ALL = {"credits": 100, "tokens": 7, "tokens.forecast": 4, "image": 1, "usd": 40_000}


def fail(outcome: Outcome = Outcome.PROVIDER_ERROR, **more: object) -> FailGeneration:
    """It failed."""
    return FailGeneration(generation_id="j1", outcome=outcome, **more)  # type: ignore[arg-type]


def test_everything_goes_back() -> None:
    """S2-3, S4-1: only a success is charged; what the provider took is noted."""
    reported = Reported(provider_cost=Paid(20_000, "USD"), generation_time_ms=900, usd=99, credits=99)
    running().when(fail(reported=reported, sealed="s")).then(
        (
            JOB,
            GenerationFailed(
                generation_id="j1",
                user="alice",
                charges=(),
                returned=ALL,
                provider_cost=Paid(20_000, "USD"),
                generation_time_ms=900,
                sealed="s",
                outcome=Outcome.PROVIDER_ERROR,
            ),
        ),
        (ALICE, released(100)),
        (TOKENS, released(7)),
        (FORECAST, released(4)),
        (GROUP, use_settled({}, {"image": 1, "tokens.forecast": 4})),
        (BUDGET, use_settled({}, {"usd": 40_000}, period="2026-03")),
        (STORAGE, use_released(bytes=5 * MB)),
    )


def test_the_policy_charges_a_part_by_outcome() -> None:
    """S2-3, S4-1: a quarter of what accounts hold, rounded down; never money or places."""
    policy = settings(settlement_policy={Outcome.INPUT_BLOCKED: 25, Outcome.OUTPUT_BLOCKED: 100})
    scenario = running(shop().given(policy, of="organisation"))
    scenario.when(fail(Outcome.INPUT_BLOCKED)).then(
        (
            JOB,
            GenerationFailed(
                generation_id="j1",
                user="alice",
                charges=(
                    charge(Resource.CREDITS, ALICE, 25, 1),
                    charge(Resource.TOKENS, TOKENS, 1, 2),
                    charge(Resource.PLAN, FORECAST, 1, 3),
                ),
                returned={"credits": 75, "tokens": 6, "tokens.forecast": 3, "image": 1, "usd": 40_000},
                outcome=Outcome.INPUT_BLOCKED,
            ),
        ),
        (ALICE, captured(25, 1, of=100)),
        (TOKENS, captured(1, 2, of=7)),
        (FORECAST, captured(1, 3, of=4)),
        (GROUP, use_settled({}, {"image": 1, "tokens.forecast": 4})),
        (BUDGET, use_settled({}, {"usd": 40_000}, period="2026-03")),
        (STORAGE, use_released(bytes=5 * MB)),
    )
    other = running(shop().given(policy, of="organisation")).done(fail(Outcome.TIMED_OUT))
    assert other.account().debited == 0


def test_what_parts_were_charged_stays_charged() -> None:
    """S4-1: the rest fails."""
    scenario = running(shop(), everything(options={"count": 2}))
    scenario.done(confirm(reported=Reported(succeeded=1), final=False), fail())
    assert (scenario.account().debited, scenario.account().reserved) == (100, 0)
    assert scenario.ledger.state(GROUP).quota[:2] == ({"image": 1, "tokens.forecast": 4}, {})
    assert scenario.ledger.state(BUDGET).quota[:2] == ({"usd": 40_000}, {})


def test_what_comes_back_to_a_grant_that_was_voided_is_voided() -> None:
    """S4-1: a chargeback is not escaped by way of a generation."""
    scenario = running(shop(credits=50), chat()).done(VoidGrant(address=ALICE, grant_id="g1"))
    scenario.when(fail()).then(
        (
            JOB,
            GenerationFailed(
                generation_id="j1",
                user="alice",
                charges=(),
                returned={"credits": 50},
                outcome=Outcome.PROVIDER_ERROR,
            ),
        ),
        (ALICE, released(50)),
        (ALICE, GrantVoided(grant=part(50))),
    )


# ---- what a cut stream has used


def cut(percent: int, usage: dict[str, int]) -> Result:
    """A message of which 50 credits are held, whose stream was cut; the policy charges so much of it."""
    policy = settings(settlement_policy={Outcome.PROVIDER_ERROR: percent})
    scenario = running(shop(credits=50).given(policy, of="organisation"), chat())
    return scenario.when(fail(reported=Reported(usage=usage)))


@pytest.mark.parametrize(
    ("percent", "usage", "charged", "uncharged"),
    [
        (100, {"input": 700, "output": 600}, 25, {}),
        (50, {"input": 700, "output": 600}, 12, {}),
        (100, {"input": 1}, 1, {}),
        (100, {"output": 3_000}, 50, {"credits": 40}),
        (100, {"output": 0}, 0, {}),
        (100, {}, 50, {}),
        (0, {"input": 700, "output": 600}, 0, {}),
        (0, {"seconds": 5}, 0, {}),
    ],
)
def test_a_cut_stream_is_charged_what_it_used(
    percent: int, usage: dict[str, int], charged: int, uncharged: dict[str, int]
) -> None:
    """S4-1: the policy's part of the reported use, never more than was held; without a policy it is recorded alone."""
    result = cut(percent, usage)
    account = result.scenario.account()
    assert (account.debited, account.reserved) == (charged, 0)
    failed = result.decided.events[0][1]
    assert (failed.usage, failed.uncharged) == (usage, uncharged)
    assert failed.returned == ({"credits": 50 - charged} if charged < 50 else {})


def test_above_the_hold_a_failure_charges_nothing_even_where_success_would() -> None:
    """S4-1: `over_actual` is about work that was done."""
    policy = settings(settlement_policy={Outcome.PROVIDER_ERROR: 100}, over_actual=OverActual.AVAILABLE)
    scenario = running(shop().given(policy, of="organisation"), chat())
    scenario.done(fail(reported=Reported(usage={"output": 3_000})))
    assert scenario.account().debited == 50


def test_use_without_a_rate_is_refused_where_it_would_be_charged() -> None:
    """S4-2: the same as for a success."""
    policy = settings(settlement_policy={Outcome.PROVIDER_ERROR: 100})
    scenario = running(shop().given(policy, of="organisation"), chat())
    refusal = Unpriced(asked="Open gpt by seconds", priced=("input", "output"))
    scenario.when(fail(reported=Reported(usage={"seconds": 3}))).then_refused(refusal)


def test_use_does_not_change_a_fixed_price() -> None:
    """S4-1: the policy's part of the hold."""
    policy = settings(settlement_policy={Outcome.PROVIDER_ERROR: 30})
    scenario = running(shop().given(policy, of="organisation"))
    scenario.done(fail(reported=Reported(usage={"seconds": 3})))
    assert scenario.account().debited == 30
