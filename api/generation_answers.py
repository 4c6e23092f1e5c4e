"""What accepted commands on generations answer: pure functions of their outcomes, so that replays answer the same."""

from collections.abc import Iterable
from typing import Any

from api.answers import Answer, transaction_answer
from api.assessment import amounts_answer, quote_answer
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
    GenerationSettledLate,
    GenerationStarted,
    Held,
    Settled,
)
from domain.generations.state import Status
from domain.money import decimal_text
from domain.quotas.counted import PREFIX as COUNTED
from domain.quotas.events import Amounts, UseReleased
from domain.quotas.quota import plus
from domain.resources.table import RESOURCES
from infra.position import format_position
from infra.writer.submission import Outcome

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
        "quote": quote_answer(event.quote._asdict()),
        "holds": holds_answer(event.holds),
        "expires_at": event.expires_at,
        "position": format_position(outcome.position),
    }


def started(outcome: Outcome) -> Answer:
    """A generation that a worker has begun."""
    event = outcome.one(GenerationStarted)
    status = STATUSES[GenerationStarted]
    return {"generation_id": event.generation_id, "status": status, "position": format_position(outcome.position)}


def cancelled(outcome: Outcome) -> Answer:
    """A generation that was called off; `returned` is what went back, by unit."""
    return {
        "generation_id": outcome.one(GenerationCancelled).generation_id,
        "status": STATUSES[GenerationCancelled],
        "returned": amounts_answer(_released(outcome)),
        "position": format_position(outcome.position),
    }


def extended(outcome: Outcome) -> Answer:
    """The new end, and all that is held now."""
    event = outcome.one(GenerationExtended)
    return {
        "generation_id": event.generation_id,
        "expires_at": event.expires_at,
        "holds": holds_answer(event.holds),
        "position": format_position(outcome.position),
    }


def settled(outcome: Outcome) -> Answer:
    """What a success or a failure came to."""
    event = outcome.one(Settled)
    told: Answer = {
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
        told["outcome"] = event.outcome
    return told | {"position": format_position(outcome.position)}


def refunded(outcome: Outcome) -> Answer:
    """What was given back, by unit."""
    event = outcome.one(GenerationRefunded)
    return {
        "generation_id": event.generation_id,
        "refund_id": event.refund_id,
        "returned": amounts_answer(total(event.returned)),
        "written_off": amounts_answer(total(event.written_off)),
        "contents": list(event.contents),
        "position": format_position(outcome.position),
    }


def my_transaction(outcome: Outcome) -> Answer:
    """The same for those who act for themselves: a hold or a generation is their transaction (S4)."""
    own = outcome.all(GenerationHeld, Settled, GenerationCancelled)
    match own[0][1] if own else None:
        case GenerationHeld() as event:
            item = {"item": event.quote.item, "price_version": event.quote.price_version}
            return created(outcome) | {"amount": event.quote.credits} | item
        case Settled() as event:
            told = settled(outcome)
            credits_ = {"amount": told["charged"]["credits"], "returned": event.returned.get("credits", 0)}
            return told | credits_ | {"transaction_id": event.generation_id, "final": True}
        case GenerationCancelled() as event:
            told = cancelled(outcome) | {"returned": _released(outcome).get("credits", 0)}
            return told | {"transaction_id": event.generation_id}
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


def holds_answer(holds: Iterable[Held]) -> list[dict[str, Any]]:
    """What is held, one entry for each amount: of which account, user or group."""
    return [
        {"resource": held.resource, **_where(held), "unit": what, "amount": shown}
        for held in holds
        for what, shown in amounts_answer(held.amounts).items()
    ]


def _where(held: Held) -> dict[str, str]:
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
