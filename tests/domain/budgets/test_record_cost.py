"""What was spent elsewhere is recorded, once, in its month (S2)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.budgets.commands import MAX_COST, RecordCost
from domain.budgets.events import CostRecorded
from domain.budgets.refusals import CostExists, CostIdReused, InvalidCost
from domain.periods import Period
from domain.quotas.events import PeriodEnded, PeriodStarted
from tests.domain.budgets.facts import ANNA, MARCH, MARCH_STARTED, USD, cost, now, recorded
from tests.domain.scenario import Scenario


def test_s2_each_attempt_is_recorded_with_its_figures() -> None:
    """S2-3: prompt, image URL and error message are in `sealed`; the first record begins the month."""
    command = RecordCost(
        user="anna",
        cost_id="c1",
        usd=40_000,
        success=True,
        size="1024x1024",
        quality="standard",
        generation_time_ms=4_200,
        sealed="s",
    )
    fact = CostRecorded(
        cost_id="c1",
        usd=40_000,
        success=True,
        size="1024x1024",
        quality="standard",
        generation_time_ms=4_200,
        sealed="s",
    )
    scenario = Scenario()
    scenario.when(command).then(MARCH_STARTED, (ANNA, fact))
    scenario.when(cost("c2", 80_000)).then(recorded("c2", 80_000))
    assert (now(scenario).used, now(scenario).remaining) == (120_000, 10 * USD - 120_000)


def test_s2_only_a_success_is_charged() -> None:
    """S2-3."""
    scenario = Scenario()
    scenario.when(cost("c1", 40_000, success=False)).then(MARCH_STARTED, recorded("c1", 40_000, success=False))
    assert now(scenario).used == 0


def test_the_same_id_twice_counts_once() -> None:
    """Its texts are encrypted, each time in another way, so they are not compared."""
    scenario = Scenario().done(cost("c1", 40_000, sealed="a"))
    refusal = CostExists(cost_id="c1")
    scenario.when(cost("c1", 40_000, sealed="b")).then_refused(refusal)
    assert now(scenario).used == 40_000
    assert str(refusal) == "The cost c1 is recorded already; it counts once."


@pytest.mark.parametrize(
    "other",
    [
        {"usd": 70_000},
        {"user": "ben"},
        {"success": False},
        {"size": "512x512"},
        {"quality": "hd"},
        {"generation_time_ms": 1},
    ],
    ids=lambda other: next(iter(other)),
)
def test_the_id_of_another_cost_is_refused(other: dict[str, Any]) -> None:
    """It is unique in the organisation, so another user cannot have it either."""
    scenario = Scenario().done(cost("c1", 40_000))
    refusal = CostIdReused(cost_id="c1")
    scenario.when(cost("c1", **{"usd": 40_000, **other})).then_refused(refusal)
    assert now(scenario).used == 40_000
    assert str(refusal) == "The id c1 is that of another cost, which was recorded before; this one was not recorded."


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"usd": -1}, "cost"),
        ({"usd": MAX_COST + 1}, "cost"),
        ({"usd": 1, "generation_time_ms": -1}, "generation_time_ms"),
        ({"usd": 1, "generation_time_ms": MAX_COST + 1}, "generation_time_ms"),
    ],
)
def test_s2_negative_values_are_refused(facts: dict[str, Any], field: str) -> None:
    refusal = InvalidCost(field=field, limit=MAX_COST)
    Scenario().when(cost("c1", **facts)).then_refused(refusal)
    assert str(refusal) == f"{field}: must be from 0 to {MAX_COST}."


def test_what_was_spent_is_recorded_above_the_budget_too() -> None:
    scenario = Scenario().done(cost("c1", 0), cost("c2", MAX_COST))
    assert (now(scenario).used, now(scenario).remaining) == (MAX_COST, 0)


def test_s2_a_new_month_starts_with_nothing_used() -> None:
    """S2-4."""
    scenario = Scenario().done(cost("c1", 9 * USD)).at(MARCH.end)
    april = Period("2026-04", MARCH.end, datetime(2026, 5, 1, tzinfo=UTC))
    assert (now(scenario).used, now(scenario).period) == (0, april)
    ended = (ANNA, PeriodEnded(key="2026-03", used={"usd": 9 * USD}))
    started = (ANNA, PeriodStarted(key=april.key, start=april.start, end=april.end))
    scenario.when(cost("c2", 2 * USD)).then(started, recorded("c2", 2 * USD), due=(ended,))
    assert now(scenario).remaining == 8 * USD
