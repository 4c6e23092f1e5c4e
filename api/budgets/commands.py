"""Monthly budgets, and the ceilings that administrators set (S2)."""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from api.budgets.answers import CURRENCY, BudgetAnswer, budget_answer, budget_now, settings_tag
from api.http.caller import Call, matched
from api.http.command import command
from api.http.endpoint import Answer
from api.http.fields import Body
from api.http.limits import Begins
from api.http.policy import May
from domain.budgets.commands import SetBudget
from domain.budgets.state import MAX_BUDGET, MIN_BUDGET
from domain.money import decimal_text, micros
from infra.writer.submission import Outcome

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,6})?", re.ASCII)
_MONEY_FACTS = ("monthly", "ceiling", "limit")


def _from_one_to_thousand(text: str) -> str:
    """Says which of the bounds was passed, as decimal text like the value itself."""
    if not _DECIMAL.fullmatch(text):
        reason = "must be a decimal with at most 6 places, as text"
        raise PydanticCustomError("not_a_decimal", reason, {"le": decimal_text(MAX_BUDGET)})
    if text.startswith("-") or micros(text) < MIN_BUDGET:
        raise PydanticCustomError("too_small", "must be at least 1.00 USD", {"ge": decimal_text(MIN_BUDGET)})
    if micros(text) > MAX_BUDGET:
        raise PydanticCustomError("too_large", "must be at most 1000.00 USD", {"le": decimal_text(MAX_BUDGET)})
    return text


BudgetText = Annotated[
    str,
    AfterValidator(_from_one_to_thousand),
    Field(description="USD a month as decimal text, 1 to 1000.", examples=["25.00"]),
]


class MyBudgetBody(Body):
    """At most the ceiling, where an administrator has set one."""

    monthly_budget: BudgetText


class UserBudgetBody(Body):
    """What is not given stays as it is. A ceiling below the budget lowers it; null takes the ceiling away."""

    monthly_budget: BudgetText = ""
    ceiling: BudgetText | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names nothing to change: monthly_budget or ceiling")
        return self


def _whose(call: Call) -> str:
    return call.params.get("id", call.principal.sub)


async def _unchanged(call: Call, _body: Any) -> Call:
    """Raises Problem (412) where the caller has read the budget as it no longer is."""
    if call.if_match is not None:
        matched(call, "budget", settings_tag((await budget_now(call, _whose(call))).value))
    return call


async def _as_it_is(call: Call, _body: Any, _outcome: Outcome) -> Answer:
    user = _whose(call)
    return budget_answer(user, await budget_now(call, user))


def _in_usd(_call: Call, outcome: Outcome) -> dict[str, Any]:
    """The numbers of a refusal, money as text."""
    facts = outcome.refusal.facts if outcome.refusal else {}
    money = {name: decimal_text(facts[name]) for name in _MONEY_FACTS if name in facts}
    return {**facts, **money, "currency": CURRENCY}


@command(
    "PUT /api/v1/budgets/me",
    May.SET_OWN_BUDGET,
    BudgetAnswer,
    look=_unchanged,
    tell=_as_it_is,
    facts=_in_usd,
    free=lambda _body: True,
    begins=lambda call, _body: Begins("budget", call.principal.sub),
)
def set_my_budget(call: Call, body: MyBudgetBody, _sealed: str | None) -> Any:
    """Set one's own monthly budget."""
    return SetBudget(user=call.principal.sub, monthly=micros(body.monthly_budget), by_user=True)


@command(
    "PUT /api/v1/users/{id}/budget",
    May.SET_BUDGETS,
    BudgetAnswer,
    look=_unchanged,
    tell=_as_it_is,
    facts=_in_usd,
    begins=lambda call, _body: Begins("budget", call.id),
)
def set_budget(call: Call, body: UserBudgetBody, _sealed: str | None) -> Any:
    """Set a user's monthly budget, and the most that the user may set.

    A ceiling that everybody has anyway is none.
    """
    ceiling = None
    if "ceiling" in body.model_fields_set:
        ceiling = MAX_BUDGET if body.ceiling is None else micros(body.ceiling)
    monthly = micros(body.monthly_budget) if body.monthly_budget else None
    return SetBudget(user=call.id, monthly=monthly, ceiling=ceiling, by_user=False)
