"""What a check or a refusal of a generation tells callers: the domain's answer in the edge's units, and ways out.

Inside, USD is integer micro-USD; here it becomes decimal text beside its currency (contract, "Units").
"""

from typing import Any

from api.http.caller import Call
from api.links import Links, actions
from domain.generations.events import GenerationRefused
from domain.money import decimal_text
from domain.resources.table import RESOURCES
from infra.writer.submission import Outcome

USD = "usd"
_NUMBERS = ("needed", "available", "limit", "deficit")


def assessment_answer(told: dict[str, Any], links: Links) -> dict[str, Any]:
    """The body of `check` and of a 402 (S0)."""
    checks = [check_answer(check) for check in told["checks"]]
    return {
        **told,
        "quote": quote_answer(told["quote"]),
        "checks": checks,
        "alternatives": [_priced(each) for each in told["alternatives"]],
        "actions": actions(checks, told["reason"], links),
    }


def refusal_facts(call: Call, outcome: Outcome) -> dict[str, Any]:
    """What a refused generation tells: the check's body, the numbers of its reason at the top; counts it.

    One that may be tried again is no event, so it is published as a refused check is.
    """
    facts: dict[str, Any] = dict(outcome.refusal.facts) if outcome.refusal else {}
    asked: dict[str, Any] | None = facts.pop("asked", None)
    if "checks" not in facts:
        return facts  # refused for another reason than that something is short
    refused = next((event for _, event in outcome.all(GenerationRefused)), None)
    answer = assessment_answer(facts, call.services.links)
    if asked is not None:
        call.services.metrics.blocked(asked["operation"], facts["reason"])
        told = {**answer, **asked, "actor": call.principal.actor, "at": outcome.time}
        call.services.on_refused_check(call.org, told)
    else:
        call.services.metrics.blocked(refused.operation if refused else "other", facts["reason"])
    first = next(check for check in answer["checks"] if check["reason"] == facts["reason"])
    numbers = {"required": first["needed"], "available": first["available"], "deficit": first["deficit"]}
    return {**answer, **numbers, "generation_id": refused.generation_id if refused else None}


def quote_answer(quote: dict[str, Any]) -> dict[str, Any]:
    """A quote with its money as text."""
    return {**quote, USD: decimal_text(quote[USD]), "currency": "USD"}


def amounts_answer(amounts: dict[str, int]) -> dict[str, int | str]:
    """Amounts by unit, money as text."""
    return {what: decimal_text(amount) if what == USD else amount for what, amount in amounts.items()}


def check_answer(check: dict[str, Any]) -> dict[str, Any]:
    """One resource's answer, money as text."""
    if not RESOURCES.shown(check["resource"]).money:
        return check
    money = {name: None if check[name] is None else decimal_text(check[name]) for name in _NUMBERS}
    return {**check, **money, "currency": "USD"}


def _priced(alternative: dict[str, Any]) -> dict[str, Any]:
    return {**alternative, USD: decimal_text(alternative[USD]), "currency": "USD"}
