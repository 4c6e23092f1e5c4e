"""Read model: every charge and how much of it was given back."""

from dataclasses import dataclass
from datetime import datetime

from domain.credits.events import CreditsDebited, ReservationCaptured, ShortfallCollected, Work
from projections.facts import Fact
from projections.read_model import Index, Int4, ReadModel
from projections.reservations import Reservation

Charged = CreditsDebited | ReservationCaptured | ShortfallCollected


@dataclass(slots=True)
class Debit:
    """One row for each charge, whether at once or by a capture; `refunded` is how much of it was given back so far.
    `user_id`: whose use it is, where one user's. `operation`, `provider` and `model`: what it was for, as in `usage`;
    null where it belongs to a generation, whose debits have its id, a dot and a number.
    """

    org: str
    id: str
    address: str
    amount: int
    refunded: int
    reservation_id: str | None
    item: str | None
    price_version: Int4 | None
    sealed: str | None
    created_at: datetime
    position: int
    user_id: str | None = None
    operation: str | None = None
    provider: str | None = None
    model: str | None = None


DEBITS = ReadModel(
    name="debits",
    row=Debit,
    key=("org", "id"),
    indexes=(Index("org, address, position"),),
    checks=("refunded between 0 and amount",),
    fillfactor=90,
)


def debited(fact: Fact, event: Charged, hold: Reservation | None, user: str | None, work: Work) -> Debit:
    """The row of a charge; what a captured hold was charged for stands in the hold.

    `user` and `work`: whose use it is, and what it was for where it belongs to no generation.
    """
    terms = hold if hold is not None else event
    return Debit(
        fact.org, event.debit_id, fact.id, event.amount, 0, getattr(event, "reservation_id", None),
        getattr(terms, "item", None), getattr(terms, "price_version", None), getattr(event, "sealed", None),
        fact.time, fact.position, user, *work,
    )  # fmt: skip
