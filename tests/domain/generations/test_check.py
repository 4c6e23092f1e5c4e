"""The check: the decision's own answer, with nothing written."""

import pytest

from domain.generations.create import CreateGeneration
from domain.generations.handlers import AssessGeneration
from domain.generations.refusals import ResourcesShort
from domain.generations.request import Request
from domain.prices.events import PriceEntry
from domain.quotas.events import UseCounted
from domain.storage.events import StorageLimitSet
from tests.domain.credits.facts import granted
from tests.domain.generations.facts import (
    BUDGET,
    GROUP,
    MARCH,
    MB,
    QUOTE,
    STORAGE,
    chat,
    create,
    everything,
    group,
    running,
    shop,
)
from tests.domain.scenario import Scenario, after

PLENTY = shop()
LACKING = shop(credits=99, tokens=3, forecast=0, image=0).given(StorageLimitSet(limit=MB), of=STORAGE)


def test_what_there_is_and_what_is_needed_of_each_resource() -> None:
    """S0-2, S0-3, S0-8: raw numbers beside those for people; what is available is all of it, not what is needed."""
    told = PLENTY.ask(AssessGeneration(request=everything()))
    assert (told["can_proceed"], told["reason"], told["tokens_needed"], told["storage_needed"]) == (True, "ok", 0, 0)
    assert told["quote"] == QUOTE._asdict()
    assert told["alternatives"] == []
    rows = [
        (check["resource"], check["subject"], check["needed"], check["available"], check["limit"], check["deficit"])
        for check in told["checks"]
    ]
    assert rows == [
        ("plan", "tokens.forecast", 4, 40, 0, 0),
        ("groups", "g1", 1, 10, 10, 0),
        ("groups", "g1", 4, 40, 40, 0),
        ("budget", "usd", 40_000, 10_000_000, 10_000_000, 0),
        ("storage", "bytes", 5 * MB, 1024 * MB, 1024 * MB, 0),
        ("tokens", "tokens", 7, 70, None, 0),
        ("credits", "credits", 100, 1000, None, 0),
    ]
    assert {check["message"] for check in told["checks"]} == {check["reason"] for check in told["checks"]} == {"ok"}
    assert [check["formatted"]["available"] for check in told["checks"]][3:] == ["$10.00", "1 GB", "70", "1K"]


@pytest.mark.parametrize("scenario", [PLENTY, LACKING], ids=["plenty", "lacking"])
@pytest.mark.parametrize(
    "request_", [everything(), chat(), Request(user="bob", operation="image"), Request(user="alice", operation="video")]
)
def test_the_check_and_the_decision_say_the_same(scenario: Scenario, request_: Request) -> None:
    """S0-1, S3-6: decided by one code; the check leaves nothing behind."""
    logged, states = len(scenario.ledger.log), dict(scenario.ledger.states)
    told = scenario.ask(AssessGeneration(request=request_))
    assert (len(scenario.ledger.log), scenario.ledger.states) == (logged, states)
    copy = Scenario()
    for stream, state in states.items():
        copy.ledger.put(stream, state)
    refusal = copy.when(CreateGeneration(generation_id="x", request=request_)).decided.refusal
    assert told["can_proceed"] is (refusal is None)
    if refusal is not None:
        assert isinstance(refusal, ResourcesShort)
        assert refusal.told == told
        assert refusal.facts() == told


def test_the_check_sees_what_time_has_brought_about() -> None:
    """S4-1: what has expired is available again, although nobody has written it yet."""
    scenario = running(shop(credits=50), chat())
    question = AssessGeneration(request=chat())
    assert scenario.ask(question)["checks"][0]["available"] == 0
    logged = len(scenario.ledger.log)
    assert scenario.at(after(900)).ask(question)["can_proceed"]
    assert len(scenario.ledger.log) == logged


def test_cheaper_things_that_would_pass_are_named() -> None:
    """S4-3: of the same operation, the same model first, then the dearest that there is enough for."""

    def video(model: str, price: int, **options: int) -> PriceEntry:
        return PriceEntry(provider="M", model=model, operation="video", credits=price, options=dict(options))

    scenario = Scenario().given(granted(500))
    scenario.given_prices(video("a", 900, duration=10), video("a", 400, duration=6), video("b", 450), video("c", 501))
    told = scenario.ask(
        AssessGeneration(request=Request(user="alice", operation="video", model="a", options={"duration": 10}))
    )
    assert [(row["label"], row["credits"]) for row in told["alternatives"]] == [("a 6s", 400), ("b", 450)]


def test_no_price_helps_where_a_group_is_full() -> None:
    """S1-3."""
    scenario = shop(image=0)
    assert scenario.ask(AssessGeneration(request=everything()))["alternatives"] == []


def test_use_above_a_limit_that_was_lowered_since() -> None:
    """S1-4, S2-1: use stays as it was recorded, nothing is left, and nothing is negative."""
    scenario = shop().given(UseCounted(amounts={"image": 8}), group(image=5), of=GROUP)
    scenario.given(MARCH, UseCounted(amounts={"usd": 11_000_000}), of=BUDGET)
    checks = {
        row["resource"]: row for row in scenario.ask(AssessGeneration(request=everything(token_type=None)))["checks"]
    }
    assert (checks["groups"]["available"], checks["budget"]["available"]) == (0, 0)


def test_a_refusal_is_the_checks_answer_with_a_sentence() -> None:
    """S0-3, S4-3: its code is the reason."""
    scenario = shop(credits=49)
    refusal = scenario.when(create(chat())).decided.refusal
    assert refusal == ResourcesShort(
        reason="insufficient_credits",
        sentence="Insufficient credits. You need 50 credits but only have 49. You're 1 credits short.",
        told=scenario.ask(AssessGeneration(request=chat())),
    )
    assert refusal is not None and refusal.code == "insufficient_credits"
