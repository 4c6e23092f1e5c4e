"""Read model: every hold, from its reservation to its one end."""

from dataclasses import dataclass
from datetime import datetime

from domain.credits.events import (
    CreditsReserved,
    ReservationCaptured,
    ReservationExpired,
    ReservationExtended,
    ReservationReleased,
    Work,
)
from projections.facts import CannotApply, Fact
from projections.table import Table

HELD = "held"
HoldKey = tuple[str, str, str]  # organisation, reservation id, address


@dataclass(slots=True)
class Reservation:
    """One hold's row (reservations.sql); amounts in whole credits."""

    org: str
    id: str
    address: str
    status: str
    amount: int
    captured: int
    returned: int
    left: int
    expires_at: datetime
    item: str | None
    price_version: int | None
    generation: bool
    sealed: str | None
    created_at: datetime
    created_position: int
    ended_at: datetime | None
    position: int
    operation: str | None = None
    provider: str | None = None
    model: str | None = None


TABLE = Table(
    "reservations",
    Reservation,
    {"org": "text", "id": "text", "address": "text", "status": "text"}
    | dict.fromkeys(("amount", "captured", "returned", "left"), "int8")
    | {"expires_at": "timestamptz", "item": "text", "price_version": "int4", "generation": "bool", "sealed": "text"}
    | {"created_at": "timestamptz", "created_position": "int8", "ended_at": "timestamptz", "position": "int8"}
    | dict.fromkeys(("operation", "provider", "model"), "text"),
    key=3,
)

Later = (
    ReservationCaptured | ReservationReleased | ReservationExpired | ReservationExtended
)  # what needs the hold's row


def held(fact: Fact, event: CreditsReserved) -> Reservation:
    """The row of a new hold."""
    work = event.work or Work()
    return Reservation(
        org=fact.org,
        id=event.reservation_id,
        address=fact.id,
        status=HELD,
        amount=event.amount,
        captured=0,
        returned=0,
        left=event.amount,
        expires_at=event.expires_at,
        item=event.item,
        price_version=event.price_version,
        generation=event.generation,
        operation=work.operation,
        provider=work.provider,
        model=work.model,
        sealed=event.sealed,
        created_at=fact.time,
        created_position=fact.position,
        ended_at=None,
        position=fact.position,
    )


def resumed(row: Reservation, fact: Fact, event: CreditsReserved) -> Reservation:
    """A generation that goes on holds more on an account where all that it had held was charged already.

    Raises CannotApply for any other hold whose id is used again.
    """
    if row.status != "captured" or not (row.generation and event.generation):
        raise CannotApply(fact.partition, fact.position, f"the reservation {row.id} is {row.status}")
    row.status, row.ended_at, row.position = HELD, None, fact.position
    row.amount += event.amount
    row.left += event.amount
    row.expires_at = event.expires_at
    return row


def apply(row: Reservation | None, fact: Fact, event: Later) -> Reservation:
    """Fold a later event into the hold's row. Raises CannotApply where the hold is unknown or has ended."""
    if row is None or row.status != HELD:
        state = "unknown" if row is None else row.status
        raise CannotApply(fact.partition, fact.position, f"the reservation {event.reservation_id} is {state}")
    match event:
        case ReservationCaptured(amount=amount):
            row.captured += amount
            row.left -= amount
            if event.final:
                _end(row, "captured", fact)
        case ReservationReleased():
            _end(row, "released", fact)
        case ReservationExpired():
            _end(row, "expired", fact)
        case ReservationExtended():
            row.amount += event.grown
            row.left += event.grown
            row.expires_at = event.expires_at
    row.position = fact.position
    return row


def _end(row: Reservation, status: str, fact: Fact) -> None:
    row.returned += row.left
    row.left = 0
    row.status = status
    row.ended_at = fact.time
