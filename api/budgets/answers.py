"""What calls on budgets answer. Money is a decimal as text."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.http.caller import Call, tag_of
from api.http.current import ask
from domain.budgets.commands import BudgetNow, BudgetUse
from domain.budgets.state import MAX_BUDGET
from domain.money import decimal_text
from domain.wording import usd_text
from infra.position import format_position
from infra.writer.submission import Answered


class BudgetAnswer(BaseModel):
    """A user's month. `ceiling`: the most that the user may set, null for none; `reserved`: held for what runs.

    `percent` of the budget is used or reserved, rounded down.
    """

    user_id: str
    monthly_budget: str
    ceiling: str | None
    used_monthly: str
    reserved: str
    remaining: str
    percent: int
    currency: str
    period_start: datetime
    period_end: datetime
    remaining_formatted: str
    used_formatted: str
    position: str


class BudgetChecked(BaseModel):
    """`reason`: ok or budget_exceeded; `enforced`: whether the organisation has budgets checked."""

    allowed: bool
    reason: str
    message: str | None
    expected_cost: str
    remaining: str
    currency: str
    enforced: bool
    position: str


class CostResult(BaseModel):
    """`duplicate`: a cost of this id is recorded already and counts once. `error` and `code` say what is wrong."""

    id: str | None
    status: Literal["ok", "duplicate", "error"]
    error: str | None
    code: str | None = None
    field: str | None = None


class CostResults(BaseModel):
    """One result for each entry, in their order."""

    results: list[CostResult]
    position: str | None


class CostRow(BaseModel):
    """An attempt, or the refund of one (`kind`), whose cost is below zero. Only a success was charged."""

    id: str
    kind: Literal["recorded", "generation", "refund"]
    user_id: str
    prompt: str | None
    size: str | None
    quality: str | None
    cost: str
    currency: str
    success: bool
    image_url: str | None
    generation_time_ms: int | None
    error_message: str | None
    created_at: datetime
    position: str


class BudgetAnalytics(BaseModel):
    """What was spent from `from` to `to`. Refunds are taken off; `average_cost` is per generation, 0.00 without any."""

    user_id: str
    period: Literal["week", "month", "year"]
    from_: datetime = Field(alias="from")
    to: datetime
    total_spent: str
    total_generations: int
    successful_generations: int
    average_cost: str
    cost_by_size: dict[str, str]
    cost_by_quality: dict[str, str]
    currency: str


class BudgetAlert(BaseModel):
    """`percentage` of the month's budget is used, rounded down."""

    type: Literal["warning", "critical"]
    message: str
    percentage: int


class BudgetAlerts(BaseModel):
    """Nothing below 75 %."""

    alerts: list[BudgetAlert]
    position: str


class BudgetHealth(BaseModel):
    """healthy without an issue, degraded with fewer than 3, unhealthy from 3."""

    status: Literal["healthy", "degraded", "unhealthy"]
    issues: list[str]


CURRENCY = "USD"
WARNING_FROM, CRITICAL_FROM = 75, 90  # percent of the budget (S2)


async def budget_now(call: Call, user: str) -> Answered:
    """Where the user's budget stands: a `BudgetUse`, and as of when. Raises Problem (503)."""
    return await ask(call.services, call.org, BudgetNow(user=user))


def budget_answer(user: str, answered: Answered) -> dict[str, Any]:
    """The answer to `BudgetNow` as callers read it."""
    use: BudgetUse = answered.value
    return {
        "user_id": user,
        "monthly_budget": decimal_text(use.monthly),
        "ceiling": ceiling_text(use),
        "used_monthly": decimal_text(use.used),
        "reserved": decimal_text(use.held),
        "remaining": decimal_text(use.remaining),
        "percent": percent(use.used + use.held, use.monthly),
        "currency": CURRENCY,
        "period_start": use.period.start,
        "period_end": use.period.end,
        "remaining_formatted": usd_text(use.remaining),
        "used_formatted": f"{usd_text(use.used)} of {usd_text(use.monthly)}",
        "position": format_position(answered.position),
    }


def ceiling_text(use: BudgetUse) -> str | None:
    """The ceiling, none where it is no lower than what anybody may set."""
    return None if use.ceiling is None or use.ceiling >= MAX_BUDGET else decimal_text(use.ceiling)


def settings_tag(use: BudgetUse) -> str:
    """The ETag of what PUT changes."""
    return tag_of(use.monthly, use.ceiling)


def percent(part: int, whole: int) -> int:
    """A share, rounded down, so that no threshold is shown before it is reached."""
    return part * 100 // whole


def alerts_of(use: BudgetUse) -> list[dict[str, Any]]:
    """The alert that the month's use is worth: none below 75 %, and never two for one budget."""
    share = percent(use.used, use.monthly)
    if share < WARNING_FROM:
        return []
    sentence = f"{share} % of the monthly budget is used: {usd_text(use.used)} of {usd_text(use.monthly)}."
    type_ = "critical" if share >= CRITICAL_FROM else "warning"
    return [{"type": type_, "message": sentence, "percentage": share}]
