"""Read model: what each account has. Every field follows from the amounts in the events."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from domain.credits.address import parse_address
from domain.credits.events import (
    AccountConfigured,
    CreditsDebited,
    CreditsEvent,
    CreditsGranted,
    CreditsRefunded,
    CreditsReserved,
    CreditsTransferredIn,
    CreditsTransferredOut,
    GrantExpired,
    GrantScheduled,
    GrantVoided,
    ReservationCaptured,
    ReservationExpired,
    ReservationExtended,
    ReservationReleased,
)
from projections.facts import CannotApply, Fact
from projections.table import Table


@dataclass(slots=True)
class Balance:
    """One account's row (balances.sql); amounts in whole credits."""

    org: str
    address: str
    owner_type: str
    owner_id: str
    unit: str
    granted: int = 0
    debited: int = 0
    refunded: int = 0
    expired: int = 0
    voided: int = 0
    transferred_in: int = 0
    transferred_out: int = 0
    reserved: int = 0
    available: int = 0
    frozen: bool = False
    closed: bool = False
    credit_limit: int = 0
    version: int = 0
    position: int = 0
    updated_at: datetime | None = None


TABLE = Table(
    "balances",
    Balance,
    {"org": "text", "address": "text", "owner_type": "text", "owner_id": "text", "unit": "text"}
    | dict.fromkeys(
        ("granted", "debited", "refunded", "expired", "voided", "transferred_in", "transferred_out"), "int8"
    )
    | {"reserved": "int8", "available": "int8", "frozen": "bool", "closed": "bool", "credit_limit": "int8"}
    | {"version": "int8", "position": "int8", "updated_at": "timestamptz"},
    key=2,
)


def opened(org: str, address: str) -> Balance:
    """The row of an account before its first event. Raises ValueError for what is no address."""
    return Balance(org, address, *parse_address(address))


def apply(row: Balance, fact: Fact) -> None:
    """Fold one event of the account into its row.

    Raises CannotApply where `fact` is not the account's next event: a second proof, beside the position, that
    nothing was lost or repeated.
    """
    if fact.version != row.version + 1:
        reason = f"{fact.address} of {fact.org} is at version {row.version}, the event is version {fact.version}"
        raise CannotApply(fact.partition, fact.position, reason)
    _move(row, fact.event)
    row.version = fact.version
    row.position = fact.position
    row.updated_at = fact.time


def _move(row: Balance, event: CreditsEvent) -> None:  # noqa: C901, PLR0912 - one case for each event
    match event:
        case CreditsReserved(amount=amount):
            row.reserved += amount
            row.available -= amount
        case ReservationCaptured(amount=amount, returned=returned):
            back = sum(part.amount for part in returned)
            row.debited += amount
            row.reserved -= amount + back
            row.available += back
        case ReservationReleased(amount=amount) | ReservationExpired(amount=amount):
            row.reserved -= amount
            row.available += amount
        case CreditsDebited(amount=amount):
            row.debited += amount
            row.available -= amount
        case CreditsGranted(grant=grant):
            row.granted += grant.amount
            row.available += grant.amount
        case GrantExpired(grant=grant):
            row.expired += grant.amount
            row.available -= grant.amount
        case GrantVoided(grant=grant, effective=effective):
            if effective:
                row.voided += grant.amount
                row.available -= grant.amount
        case ReservationExtended(grown=grown):
            row.reserved += grown
            row.available -= grown
        case CreditsRefunded(amount=amount, returned=returned, owed_less=owed_less):
            row.refunded += amount
            row.available += owed_less + sum(part.amount for part in returned)
        case CreditsTransferredOut(amount=amount):
            row.transferred_out += amount
            row.available -= amount
        case CreditsTransferredIn(amount=amount, slices=slices, repaid=repaid):
            row.transferred_in += amount
            row.available += repaid + sum(part.amount for part in slices)
        case AccountConfigured():
            row.frozen, row.closed, row.credit_limit = event.frozen, event.closed, event.credit_limit
        case GrantScheduled():
            pass  # promised, not here yet
        case _:
            assert_never(event)
