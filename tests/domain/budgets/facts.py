"""Facts and commands about budgets that these tests have in common."""

from datetime import UTC, datetime
from typing import Any

from domain.budgets.commands import BudgetCheck, BudgetNow, BudgetUse, CheckBudget, RecordCost, SetBudget
from domain.budgets.events import CostRecorded
from domain.budgets.state import stream_of
from domain.periods import Period
from domain.quotas.events import PeriodStarted
from tests.domain.scenario import Scenario

USD = 1_000_000
ANNA = stream_of("anna")
MARCH = Period("2026-03", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
MARCH_STARTED = (ANNA, PeriodStarted(key=MARCH.key, start=MARCH.start, end=MARCH.end))


def by_user(monthly: int | None = None, ceiling: int | None = None) -> SetBudget:
    return SetBudget(user="anna", monthly=monthly, ceiling=ceiling, by_user=True)


def by_admin(monthly: int | None = None, ceiling: int | None = None) -> SetBudget:
    return SetBudget(user="anna", monthly=monthly, ceiling=ceiling, by_user=False)


def cost(cost_id: str, usd: int, user: str = "anna", **facts: Any) -> RecordCost:
    return RecordCost(user=user, cost_id=cost_id, usd=usd, success=facts.pop("success", True), **facts)


def recorded(cost_id: str, usd: int, *, success: bool = True) -> tuple[str, CostRecorded]:
    return ANNA, CostRecorded(cost_id=cost_id, usd=usd, success=success)


def now(scenario: Scenario) -> BudgetUse:
    use: BudgetUse = scenario.ask(BudgetNow(user="anna"))
    return use


def check(scenario: Scenario, expected: int) -> BudgetCheck:
    found: BudgetCheck = scenario.ask(CheckBudget(user="anna", expected=expected))
    return found
