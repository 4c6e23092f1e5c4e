"""Read model: every charge and how much of it was given back."""

from dataclasses import dataclass
from datetime import datetime

from domain.credits.events import CreditsDebited, CreditsRefunded, ReservationCaptured, ShortfallCollected, Work
from projections.balances import BALANCES, Balance, resource_of
from projections.facts import Fact
from projections.read_model import Index, Int4, Needed, ReadModel, State, always
from projections.reservations import Reservation, hold_of
from projections.transactions import generation_of

Charged = CreditsDebited | ReservationCaptured | ShortfallCollected
# What uses that were no generation are called where nothing was priced.
DEBIT, METERED, IMPORT, RESERVATION, DEDUCTION, SHORTFALL = (
    "debit", "metered", "import", "reservation", "deduction", "shortfall",
)  # fmt: skip
_FROM_KAFKA, _FROM_FILES = "usage:", "usage:scrip-import:"  # how actors of usage events begin


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


def needs(needed: Needed, fact: Fact) -> None:
    """The row of a charge that is refunded."""
    if isinstance(fact.event, CreditsRefunded):
        needed.row(DEBITS, (fact.org, fact.event.debit_id))


def fold(state: State, fact: Fact) -> None:
    """Raises CannotApply where the charge that is refunded is unknown."""
    rows, event = state.rows(DEBITS), fact.event
    key = (fact.org, event.debit_id)
    if not isinstance(event, CreditsRefunded):
        rows.begin(key, charged(fact, event, hold_of(state, fact), state.rows(BALANCES)[fact.org, fact.id]))
        return
    row = state.known(DEBITS, key, fact, "debit")
    row.refunded += event.amount
    rows.put(key, row)


def charged(fact: Fact, event: Charged, hold: Reservation | None, balance: Balance) -> Debit:
    """The row of a charge on the account `balance`; the hold says what a capture was charged for."""
    terms = hold if hold is not None else event
    user = getattr(event, "user", None) or (balance.owner_id if balance.owner_type == "user" else None)
    work = _work_of(fact, balance, event, hold) if generation_of(event, hold) is None else Work()
    return Debit(
        fact.org, event.debit_id, fact.id, event.amount, 0, getattr(event, "reservation_id", None),
        getattr(terms, "item", None), getattr(terms, "price_version", None), getattr(event, "sealed", None),
        fact.time, fact.position, user, *work,
    )  # fmt: skip


def _work_of(fact: Fact, balance: Balance, event: Charged, hold: Reservation | None) -> Work:
    """What a charge was for that was for no generation: what was priced, else how it came."""
    if hold is not None:
        return Work(hold.operation or RESERVATION, hold.provider, hold.model)
    if not isinstance(event, CreditsDebited):
        return Work(SHORTFALL)
    work = event.work or Work()
    return work if work.operation is not None else work._replace(operation=_way(fact, balance))


def _way(fact: Fact, balance: Balance) -> str:
    if resource_of(balance)[0] == "plan_tokens":
        return DEDUCTION
    if fact.actor.startswith(_FROM_FILES):
        return IMPORT
    return METERED if fact.actor.startswith(_FROM_KAFKA) else DEBIT


DEBITS = ReadModel(
    name="debits",
    row=Debit,
    key=("org", "id"),
    events={"account": (CreditsDebited, ReservationCaptured, ShortfallCollected, CreditsRefunded)},
    fold=fold,
    needs=needs,
    ended=always,
    indexes=(Index("org, address, position"),),
    checks=("refunded between 0 and amount",),
    fillfactor=90,
)
