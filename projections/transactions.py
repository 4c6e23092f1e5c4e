"""Read model: every movement of an account's available credits, so that the movements add up to the balance."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, get_args

from domain.credits import events
from projections.balances import BALANCES
from projections.facts import Fact
from projections.read_model import Int2, Keep, ReadModel, State
from projections.reservations import Reservation, hold_of

SHORTFALL = "shortfall."  # how debits begin that collect one


class Transaction(NamedTuple):
    """Every movement of an account's available credits: the sum of `amount` up to a row is its `balance_after`. `n`
    numbers the movements of one event. Types: granted, grant_expired, grant_voided, reserved, returned (of a hold that
    is captured: what had been held of it), captured, released, expired, debited, refunded, transferred_in,
    transferred_out, shortfall_collected. `generation_id` where it is about a generation. `counterparty` is the other
    account of a transfer; `sealed` is the encrypted personal text.
    """

    org: str
    address: str
    position: int
    n: Int2
    type: str
    amount: int
    balance_after: int
    grant_id: str | None
    reservation_id: str | None
    debit_id: str | None
    refund_id: str | None
    transfer_id: str | None
    counterparty: str | None
    generation_id: str | None
    item: str | None
    actor: str
    sealed: str | None
    created_at: datetime


class _Movement(NamedTuple):
    """What differs from event to event."""

    type: str
    amount: int
    grant_id: str | None = None
    reservation_id: str | None = None
    debit_id: str | None = None
    refund_id: str | None = None
    transfer_id: str | None = None
    counterparty: str | None = None
    sealed: str | None = None


def movements(fact: Fact, available: int, hold: Reservation | None) -> Iterator[Transaction]:
    """The rows of one event. `available` is the account's before it, `hold` the reservation it is about, if any."""
    item = hold.item if hold is not None else getattr(fact.event, "item", None)
    generation = generation_of(fact.event, hold)
    for n, move in enumerate(_moves(fact.event)):
        available += move.amount
        yield Transaction(
            fact.org, fact.id, fact.position, n, move.type, move.amount, available,
            *move[2:8], generation, item, fact.actor, move.sealed, fact.time,
        )  # fmt: skip


def generation_of(event: object, hold: Reservation | None) -> str | None:
    """The generation that an event of an account is about, if any.

    Its debits have the id `{generation}.{number}`, and what collects a shortfall `shortfall.{grant}.{number}`; all
    other debits have ids without a dot.
    """
    if hold is not None:
        return hold.id if hold.generation else None
    if isinstance(event, events.CreditsDebited | events.CreditsRefunded) and not event.debit_id.startswith(SHORTFALL):
        return event.debit_id.rpartition(".")[0] or None
    return None


def _moves(event: object) -> tuple[_Movement, ...]:  # noqa: C901, PLR0911, PLR0912 - one case for each event
    match event:
        case events.CreditsReserved():
            return (_Movement("reserved", -event.amount, None, event.reservation_id, sealed=event.sealed),)
        case events.ReservationCaptured():
            freed = event.amount + sum(part.amount for part in event.returned)
            hold = (None, event.reservation_id, event.debit_id)
            charge = _Movement("captured", -event.amount, *hold, sealed=event.sealed)
            return (_Movement("returned", freed, *hold), charge)
        case events.ReservationReleased():
            return (_Movement("released", event.amount, None, event.reservation_id, sealed=event.sealed),)
        case events.ReservationExpired():
            return (_Movement("expired", event.amount, None, event.reservation_id),)
        case events.ReservationExtended() if event.grown:
            return (_Movement("reserved", -event.grown, None, event.reservation_id),)
        case events.CreditsDebited():
            return (_Movement("debited", -event.amount, debit_id=event.debit_id, sealed=event.sealed),)
        case events.CreditsGranted(grant=grant):
            return (_Movement("granted", grant.amount, grant.grant, sealed=event.sealed),)
        case events.AllowanceGranted(grant=grant):
            return (_Movement("granted", grant.amount, grant.grant),)
        case events.ShortfallCollected():
            return (_Movement("shortfall_collected", -event.amount, debit_id=event.debit_id),)
        case events.GrantExpired(grant=grant):
            return (_Movement("grant_expired", -grant.amount, grant.grant),)
        case events.GrantVoided(grant=grant) if event.effective and grant.amount:
            return (_Movement("grant_voided", -grant.amount, grant.grant, sealed=event.sealed),)
        case events.CreditsRefunded():
            ids = (None, None, event.debit_id)
            return (_Movement("refunded", event.amount, *ids, event.refund_id, sealed=event.sealed),)
        case events.CreditsTransferredOut():
            moved = {"transfer_id": event.transfer_id, "counterparty": event.to, "sealed": event.sealed}
            return (_Movement("transferred_out", -event.amount, **moved),)
        case events.CreditsTransferredIn():
            moved = {"transfer_id": event.transfer_id, "counterparty": event.sender}
            return (_Movement("transferred_in", event.amount, **moved),)
        case _:
            return ()  # settings, promises and a longer hold move nothing


def fold(state: State, fact: Fact) -> None:
    """Add the event's movements; the account's row is still that of before."""
    balance = state.rows(BALANCES).get((fact.org, fact.id))
    available = balance.available if balance is not None else 0
    state.log(TRANSACTIONS).extend(movements(fact, available, hold_of(state, fact)))


TRANSACTIONS = ReadModel(
    name="transactions",
    row=Transaction,
    key=("org", "address", "position", "n"),
    events={"account": get_args(events.CreditsEvent)},
    fold=fold,
    keep=Keep.LOG,
    shows={"id": "lpad(position::text, 16, '0') || '-' || n"},
)
