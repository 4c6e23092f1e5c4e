"""Read model: every hold, from its reservation to its one end."""

from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from domain.credits import events
from projections.facts import CannotApply, Fact
from projections.generations import GENERATIONS, OPEN
from projections.read_model import Due, Index, Int4, Needed, ReadModel, State

HELD = "held"


@dataclass(slots=True)
class Reservation:
    """One row for each hold on each account: a generation holds under its own id on every account that pays for it.
    `amount` is all that was ever held, and amount = captured + returned + "left". `generation`: it ends with one.
    `operation`, `provider` and `model`: what was priced, of a hold that is of no generation. `status`: held, captured,
    released or expired; `position`: the reservation's last event.
    """

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
    price_version: Int4 | None
    generation: bool
    sealed: str | None
    created_at: datetime
    created_position: int
    ended_at: datetime | None
    position: int
    operation: str | None = None
    provider: str | None = None
    model: str | None = None


Later = (
    events.ReservationCaptured | events.ReservationReleased | events.ReservationExpired | events.ReservationExtended
)  # what needs the hold's row


def held(fact: Fact, event: events.CreditsReserved) -> Reservation:
    """The row of a new hold."""
    work = event.work or events.Work()
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


def resumed(row: Reservation, fact: Fact, event: events.CreditsReserved) -> Reservation:
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
        case events.ReservationCaptured(amount=amount):
            row.captured += amount
            row.left -= amount
            if event.final:
                _end(row, "captured", fact)
        case events.ReservationReleased():
            _end(row, "released", fact)
        case events.ReservationExpired():
            _end(row, "expired", fact)
        case events.ReservationExtended():
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


def has_ended(state: State, row: Reservation) -> bool:
    """Whether a hold cannot go on: one of an open generation may, after all of it was charged."""
    if row.status == HELD or not row.generation:
        return row.status != HELD
    generation = state.rows(GENERATIONS).get((row.org, row.id))
    return generation is None or generation.status not in OPEN


def hold_of(state: State, fact: Fact) -> Reservation | None:
    """The hold that an event of an account is about, if any."""
    id_ = getattr(fact.event, "reservation_id", None)
    return None if id_ is None else state.rows(RESERVATIONS).get((fact.org, id_, fact.id))


def needs(needed: Needed, fact: Fact) -> None:
    """The hold's row, unless the event makes it: only a generation may hold again."""
    event = fact.event
    if not isinstance(event, events.CreditsReserved) or event.generation:
        needed.row(RESERVATIONS, (fact.org, event.reservation_id, fact.id))


def fold(state: State, fact: Fact) -> None:
    """Raises CannotApply where the hold is unknown or has ended."""
    rows, event = state.rows(RESERVATIONS), fact.event
    key = (fact.org, event.reservation_id, fact.id)
    known = rows.get(key)
    if not isinstance(event, events.CreditsReserved):
        rows.put(key, apply(known, fact, event))
    elif known is None:
        rows.begin(key, held(fact, event))
    else:
        rows.put(key, resumed(known, fact, event))


RESERVATIONS = ReadModel(
    name="reservations",
    row=Reservation,
    key=("org", "id", "address"),
    events={"account": (events.CreditsReserved, *get_args(Later))},
    fold=fold,
    needs=needs,
    ended=has_ended,
    stream="'account/' || address",
    due=(Due("expires_at", "status = 'held'"),),
    indexes=(Index("org, address, created_position"),),
    checks=('amount = captured + returned + "left"',),
    fillfactor=80,
)
