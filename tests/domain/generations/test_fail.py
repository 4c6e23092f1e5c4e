"""A generation that failed: what goes back, and what the organisation's policy keeps."""

from domain.credits.events import GrantVoided, Paid
from domain.credits.void import VoidGrant
from domain.generations.actual import Reported
from domain.generations.events import GenerationFailed
from domain.generations.fail import FailGeneration
from domain.organisations.events import Outcome, Resource
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
from tests.domain.scenario import ALICE

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
    assert scenario.view.state(GROUP).quota[:2] == ({"image": 1, "tokens.forecast": 4}, {})
    assert scenario.view.state(BUDGET).quota[:2] == ({"usd": 40_000}, {})


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
