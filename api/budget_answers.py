"""What callers are told of a user's budget (S2): money as decimal text, and as people read it."""

from typing import Any

from api.current import ask
from api.http.caller import Call, tag_of
from domain.budgets.now import BudgetNow, BudgetUse
from domain.budgets.state import MAX_BUDGET
from domain.money import decimal_text
from domain.wording import usd_text
from infra.position import format_position
from infra.writer.submission import Answered

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
