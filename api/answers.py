"""What an accepted command answers: a pure function of its outcome, so that a replay is the first answer again."""

from collections.abc import Callable
from typing import Any

from domain.credits.events import (
    AccountConfigured,
    CreditsDebited,
    CreditsGranted,
    CreditsRefunded,
    CreditsReserved,
    CreditsTransferredOut,
    GrantScheduled,
    GrantVoided,
    ReservationCaptured,
    ReservationExtended,
    ReservationReleased,
)
from domain.prices.events import PricesPublished
from infra.position import format_position
from infra.writer.submission import Outcome

Answer = dict[str, Any]


def answer(outcome: Outcome) -> Answer:
    """The JSON object for the event that the command was about."""
    event = _about(outcome)
    told = _ANSWERS[type(event)](event, outcome)
    told["position"] = format_position(outcome.position)
    return told


def _about(outcome: Outcome) -> Any:
    """The event that the command is for. That a grant is void may also follow from another, and then is not it."""
    for _, event in outcome.events:
        if type(event) in _ANSWERS and not isinstance(event, GrantVoided):
            return event
    return outcome.one(GrantVoided)


def transaction_answer(outcome: Outcome) -> Answer:
    """The same for those who act for themselves: a hold is their transaction."""
    told = answer(outcome)
    told["transaction_id"] = told.pop("reservation_id")
    return told


def _reserved(event: CreditsReserved, _outcome: Outcome) -> Answer:
    told: Answer = {"reservation_id": event.reservation_id, "amount": event.amount, "expires_at": event.expires_at}
    if event.item is not None:
        told |= {"item": event.item, "price_version": event.price_version}
    return told


def _captured(event: ReservationCaptured, _outcome: Outcome) -> Answer:
    return {
        "debit_id": event.debit_id,
        "reservation_id": event.reservation_id,
        "amount": event.amount,
        "returned": sum(part.amount for part in event.returned),
        "final": event.final,
    }


def _released(event: ReservationReleased, _outcome: Outcome) -> Answer:
    return {"reservation_id": event.reservation_id, "returned": event.amount}


def _extended(event: ReservationExtended, _outcome: Outcome) -> Answer:
    return {"reservation_id": event.reservation_id, "expires_at": event.expires_at, "grown": event.grown}


def _debited(event: CreditsDebited, _outcome: Outcome) -> Answer:
    return {"debit_id": event.debit_id, "amount": event.amount}


def _refunded(event: CreditsRefunded, _outcome: Outcome) -> Answer:
    return {"refund_id": event.refund_id, "debit_id": event.debit_id, "amount": event.amount}


def _granted(event: CreditsGranted, _outcome: Outcome) -> Answer:
    grant = event.grant
    return {
        "grant_id": grant.grant,
        "amount": grant.amount,
        "status": "live",
        "effective_at": grant.granted_at,
        "expires_at": grant.expires_at,
    }


def _scheduled(event: GrantScheduled, _outcome: Outcome) -> Answer:
    grant = event.grant
    return {
        "grant_id": grant.grant,
        "amount": grant.amount,
        "status": "scheduled",
        "effective_at": event.effective_at,
        "expires_at": grant.expires_at,
    }


def _voided(event: GrantVoided, outcome: Outcome) -> Answer:
    return {
        "grant_id": event.grant.grant,
        "voided": sum(part.grant.amount for _, part in outcome.all(GrantVoided)),
    }


def _transferred(event: CreditsTransferredOut, _outcome: Outcome) -> Answer:
    return {"transfer_id": event.transfer_id, "to": event.to, "amount": event.amount}


def _configured(event: AccountConfigured, _outcome: Outcome) -> Answer:
    return {"frozen": event.frozen, "closed": event.closed, "credit_limit": event.credit_limit}


def _published(event: PricesPublished, _outcome: Outcome) -> Answer:
    return {"version": event.version, "effective_at": event.effective_at}


_ANSWERS: dict[type, Callable[[Any, Outcome], Answer]] = {
    CreditsReserved: _reserved,
    ReservationCaptured: _captured,
    ReservationReleased: _released,
    ReservationExtended: _extended,
    CreditsDebited: _debited,
    CreditsRefunded: _refunded,
    CreditsGranted: _granted,
    GrantScheduled: _scheduled,
    GrantVoided: _voided,
    CreditsTransferredOut: _transferred,
    AccountConfigured: _configured,
    PricesPublished: _published,
}
