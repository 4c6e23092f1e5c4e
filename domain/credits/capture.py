"""Charge held credits when the work has succeeded."""

from dataclasses import dataclass
from datetime import datetime

from domain.credits.account import Account
from domain.credits.burn import split
from domain.credits.events import CreditsEvent, ReservationCaptured
from domain.credits.refusals import ExceedsHold
from domain.credits.rules import open_hold, spoiled


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """`amount` none for all that is left; with `final` the rest returns, without it further captures may follow."""

    address: str
    reservation_id: str
    debit_id: str
    amount: int | None = None
    final: bool = True
    sealed: str | None = None


def capture(
    account: Account, command: Capture, now: datetime, history: tuple[CreditsEvent, ...] = ()
) -> tuple[CreditsEvent, ...]:
    """Raises NotFound, ReservationEnded (also after expiry), ExceedsHold."""
    hold = open_hold(account, command.reservation_id, history)
    amount = hold.amount if command.amount is None else command.amount
    if amount > hold.amount:
        raise ExceedsHold(amount=amount, left=hold.amount)
    final = command.final or amount == hold.amount
    paid, rest = split(hold.slices, amount)
    returned = rest if final else ()
    captured = ReservationCaptured(
        reservation_id=command.reservation_id,
        debit_id=command.debit_id,
        amount=amount,
        slices=paid,
        final=final,
        returned=returned,
        sealed=command.sealed,
    )
    return (captured, *spoiled(account, returned, now)) if returned else (captured,)
