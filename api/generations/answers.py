"""What calls on generations answer, and how it follows from outcomes, so that a replay answers the same."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from api.accounts.answers import transaction_answer
from api.http.caller import Call
from api.http.endpoint import Answer
from api.http.services import Links, actions
from domain.credits.address import address_of, parse_address
from domain.credits.events import ReservationReleased
from domain.generations.events import (
    Charge,
    GenerationCancelled,
    GenerationCompleted,
    GenerationExpired,
    GenerationExtended,
    GenerationFailed,
    GenerationHeld,
    GenerationPartCompleted,
    GenerationRefunded,
    GenerationRefused,
    GenerationSettledLate,
    GenerationStarted,
    Settled,
)
from domain.generations.events import (
    Held as HeldEvent,
)
from domain.generations.state import Status
from domain.money import decimal_text
from domain.quotas.counted import PREFIX as COUNTED
from domain.quotas.events import Amounts, UseReleased
from domain.quotas.quota import plus
from domain.resources.table import RESOURCES
from infra.writer.submission import Outcome


class _Sums(BaseModel):
    """Amounts of what generations take."""

    credits: int
    tokens: int
    usd: str
    currency: str


class Quote(_Sums):
    """What it is expected to take; 0 of what does not apply. `plan_tokens` are of `token_type`."""

    bytes: int
    token_type: str | None = None
    plan_tokens: int
    item: str | None = None
    price_version: int | None = None


class Held(BaseModel):
    """What is held of one resource: on an account, for a user (storage, budget) or in a group."""

    resource: str
    account: str | None = None
    user: str | None = None
    group: str | None = None
    unit: str
    amount: int | str


class Check(BaseModel):
    """One resource's answer; `available` and `limit` null for unlimited. `formatted`: the same numbers for people."""

    resource: str
    subject: str
    ok: bool
    reason: str
    needed: int | str
    available: int | str | None
    limit: int | str | None
    deficit: int | str
    currency: str | None = None
    message: str
    formatted: dict[str, str]


class Alternative(_Sums):
    """Priced options that would pass."""

    label: str
    provider: str | None
    model: str | None
    options: dict[str, Any]


class Action(BaseModel):
    """A way out for the person who was refused."""

    label: str
    href: str


class Assessment(BaseModel):
    """May it run? `tokens_needed` and `storage_needed` are what is missing."""

    can_proceed: bool
    reason: str
    tokens_needed: int
    storage_needed: int
    current_tokens: int
    current_storage: int
    storage_limit: int
    storage_percent: float
    storage_formatted: str
    quote: Quote
    checks: list[Check]
    alternatives: list[Alternative]
    actions: list[Action]
    position: str


class Charged(_Sums):
    """What was charged or given back; USD is what was actually spent."""

    plan_tokens: int


class Cost(BaseModel):
    """What a provider was paid."""

    amount: str
    currency: str


class Moved(BaseModel):
    """Of one resource: all that was held, what was charged, what came back when it ended, what was refunded later."""

    held: int | str
    charged: int | str
    returned: int | str
    refunded: int | str


class GenerationRow(BaseModel):
    """A generation and what has become of it. `refusal`: the reason of one that was refused.

    `amounts`: by resource (credits, tokens, plan_tokens, usd); `held` of USD is what it was expected to cost.
    `outcome_text` says the same to people: `Completed: 1,100 credits charged, 140 returned`.
    """

    generation_id: str
    transaction_id: str
    user_id: str
    parent_id: str | None = None
    operation: str
    provider: str | None = None
    model: str | None = None
    options: dict[str, Any]
    count: int
    feature: str | None = None
    status: str
    refusal: str | None = None
    outcome: str | None = None
    quote: Quote
    holds: list[Held]
    amounts: dict[str, Moved]
    outcome_text: str
    charged: Charged
    refunded: Charged
    uncharged: dict[str, int | str]
    shortfall: dict[str, int | str]
    succeeded: int
    contents: int
    content_bytes: int
    provider_cost: Cost | None = None
    generation_time_ms: int | None = None
    prompt: str | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    error_message: str | None = None
    actor: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    position: str


class ContentRow(BaseModel):
    """A stored generation."""

    content_id: str
    user_id: str
    generation_id: str | None = None
    bytes: int
    formatted: str
    url: str | None = None
    created_at: datetime
    position: str


class GenerationWhole(GenerationRow):
    """With what it has stored and the generations that are parts of it."""

    stored: list[ContentRow]
    children: list[GenerationRow]


class StorageUse(BaseModel):
    """In bytes: `used` is stored, `held` is kept free for generations that run; `percent` is of both together."""

    user_id: str
    used: int
    held: int
    limit: int
    available: int
    percent: float
    formatted: str
    position: str


class Step(BaseModel):
    """Something that happened, in words."""

    at: datetime
    position: str
    actor: str
    type: str
    text: str


class Payment(BaseModel):
    """A grant that a part of a hold or charge is of; none for an account's credit limit. A hold has no debit yet."""

    debit_id: str | None
    account: str
    grant_id: str | None
    source: str
    amount: int


class Explanation(BaseModel):
    """Why a generation was allowed or refused, which grants paid, and what has happened since: from the log alone."""

    generation_id: str
    user_id: str
    operation: str
    provider: str | None = None
    model: str | None = None
    status: str
    allowed: bool
    reason: str
    decision: str
    quote: Quote
    checks: list[Check]
    holds: list[Held]
    held_from: list[Payment]
    paid_by: list[Payment]
    history: list[Step]
    position: str


USD = "usd"
_NUMBERS = ("needed", "available", "limit", "deficit")


def assessment_answer(answer: dict[str, Any], links: Links) -> dict[str, Any]:
    """The body of `check` and of a 402 (S0)."""
    checks = [check_answer(check) for check in answer["checks"]]
    return {
        **answer,
        "quote": with_usd(answer["quote"]),
        "checks": checks,
        "alternatives": [with_usd(each) for each in answer["alternatives"]],
        "actions": actions(checks, answer["reason"], links),
    }


def refusal_facts(call: Call, outcome: Outcome) -> dict[str, Any]:
    """What a refused generation is answered: the check's body, the numbers of its reason at the top; counts it.

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
        refused_check = {**answer, **asked, "actor": call.principal.actor, "at": outcome.time}
        call.services.on_refused_check(call.org, refused_check)
    else:
        call.services.metrics.blocked(refused.operation if refused else "other", facts["reason"])
    first = next(check for check in answer["checks"] if check["reason"] == facts["reason"])
    numbers = {"required": first["needed"], "available": first["available"], "deficit": first["deficit"]}
    return {**answer, **numbers, "generation_id": refused.generation_id if refused else None}


def with_usd(figures: dict[str, Any]) -> dict[str, Any]:
    """A quote or priced options with their money as text."""
    return {**figures, USD: decimal_text(figures[USD]), "currency": "USD"}


def amounts_answer(amounts: dict[str, int]) -> dict[str, int | str]:
    """Amounts by unit, money as text."""
    return {what: decimal_text(amount) if what == USD else amount for what, amount in amounts.items()}


def check_answer(check: dict[str, Any]) -> dict[str, Any]:
    """One resource's answer, money as text."""
    if not RESOURCES.shown(check["resource"]).money:
        return check
    numbers = {name: check[name] for name in _NUMBERS if name in check}  # a refusal that is kept has no deficit
    money = {name: None if amount is None else decimal_text(amount) for name, amount in numbers.items()}
    return {**check, **money, "currency": "USD"}


STATUSES: dict[type, Status] = {
    GenerationHeld: Status.HELD,
    GenerationStarted: Status.RUNNING,
    GenerationPartCompleted: Status.RUNNING,
    GenerationCompleted: Status.COMPLETED,
    GenerationSettledLate: Status.SETTLED_LATE,
    GenerationFailed: Status.FAILED,
    GenerationCancelled: Status.CANCELLED,
    GenerationExpired: Status.EXPIRED,
}


def created(outcome: Outcome) -> Answer:
    """A generation that may run, and what is held for it."""
    event = outcome.one(GenerationHeld)
    return {
        "generation_id": event.generation_id,
        "transaction_id": event.generation_id,
        "status": Status.HELD,
        "quote": with_usd(event.quote._asdict()),
        "holds": holds_answer(event.holds),
        "expires_at": event.expires_at,
    }


def started(outcome: Outcome) -> Answer:
    """A generation that a worker has begun."""
    return {"generation_id": outcome.one(GenerationStarted).generation_id, "status": STATUSES[GenerationStarted]}


def cancelled(outcome: Outcome) -> Answer:
    """A generation that was called off; `returned` is what went back, by unit."""
    return {
        "generation_id": outcome.one(GenerationCancelled).generation_id,
        "status": STATUSES[GenerationCancelled],
        "returned": amounts_answer(_released(outcome)),
    }


def extended(outcome: Outcome) -> Answer:
    """The new end, and all that is held now."""
    event = outcome.one(GenerationExtended)
    return {
        "generation_id": event.generation_id,
        "expires_at": event.expires_at,
        "holds": holds_answer(event.holds),
    }


def settled(outcome: Outcome) -> Answer:
    """What a success or a failure came to."""
    event = outcome.one(Settled)
    answer: Answer = {
        "generation_id": event.generation_id,
        "status": STATUSES[type(event)],
        "charged": charged_answer(event),
        "returned": amounts_answer(event.returned),
        "uncharged": amounts_answer(event.uncharged),
        "shortfall": amounts_answer(event.shortfall),
        "contents": [content.id for content in event.contents],
        "usage": event.usage,
    }
    if isinstance(event, GenerationFailed):
        answer["outcome"] = event.outcome
    return answer


def refunded(outcome: Outcome) -> Answer:
    """What was given back, by unit."""
    event = outcome.one(GenerationRefunded)
    return {
        "generation_id": event.generation_id,
        "refund_id": event.refund_id,
        "returned": amounts_answer(total(event.returned)),
        "written_off": amounts_answer(total(event.written_off)),
        "contents": list(event.contents),
    }


def my_transaction(outcome: Outcome) -> Answer:
    """The same for those who act for themselves: a hold or a generation is their transaction (S4)."""
    own = outcome.all(GenerationHeld, Settled, GenerationCancelled)
    match own[0][1] if own else None:
        case GenerationHeld() as event:
            item = {"item": event.quote.item, "price_version": event.quote.price_version}
            return created(outcome) | {"amount": event.quote.credits} | item
        case Settled() as event:
            answer = settled(outcome)
            credits_ = {"amount": answer["charged"]["credits"], "returned": event.returned.get("credits", 0)}
            return answer | credits_ | {"transaction_id": event.generation_id, "final": True}
        case GenerationCancelled() as event:
            answer = cancelled(outcome) | {"returned": _released(outcome).get("credits", 0)}
            return answer | {"transaction_id": event.generation_id}
        case _:
            return transaction_answer(outcome)


def charged_answer(event: Settled) -> dict[str, int | str]:
    """What was charged, by resource; USD is what was actually spent, the budget's or not."""
    return {
        **{each.figure: charged_of(event.charges, each.name) for each in RESOURCES.accounts},
        "usd": decimal_text(event.usd),
        "currency": "USD",
    }


def charged_of(charges: Iterable[Charge], resource: str) -> int:
    """What of one resource was charged, over all accounts."""
    return sum(sum(charge.amounts.values()) for charge in charges if charge.resource == resource)


def total(charges: Iterable[Charge]) -> Amounts:
    """What was charged or given back, by unit."""
    amounts: Amounts = {}
    for charge in charges:
        amounts = plus(amounts, charge.amounts)
    return amounts


def holds_answer(holds: Iterable[HeldEvent]) -> list[dict[str, Any]]:
    """What is held, one entry for each amount: of which account, user or group."""
    return [
        {"resource": held.resource, **_where(held), "unit": what, "amount": shown}
        for held in holds
        for what, shown in amounts_answer(held.amounts).items()
    ]


def _where(held: HeldEvent) -> dict[str, str]:
    """The account, the user or the group."""
    kind, which = RESOURCES.shown(held.resource).place(held.stream)
    return {kind: which}


def _released(outcome: Outcome) -> Amounts:
    """What a cancelled generation gave back, by unit."""
    amounts: Amounts = {}
    for stream, event in outcome.events:
        if isinstance(event, UseReleased) and not stream.startswith(COUNTED):
            amounts = plus(amounts, event.amounts)
        elif isinstance(event, ReservationReleased):
            amounts = plus(amounts, {parse_address(address_of(stream)).unit: event.amount})
    return amounts
