"""Charge held credits when the work has succeeded."""

from dataclasses import dataclass

from domain.credits.address import stream_of
from domain.credits.burn import split
from domain.credits.events import ReservationCaptured
from domain.credits.refusals import ExceedsHold
from domain.credits.rules import expire_returned, open_hold
from domain.kernel.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """`amount` none for all that is left; with `final` the rest returns, without it further captures may follow."""

    address: str
    reservation_id: str
    debit_id: str
    amount: int | None = None
    final: bool = True
    sealed: str | None = None


def capture(work: Work, command: Capture) -> None:
    """Raises NotFound, ReservationEnded (also after expiry), ExceedsHold."""
    stream = stream_of(command.address)
    hold = open_hold(work, stream, command.reservation_id)
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
    work.emit(stream, captured)
    if returned:
        expire_returned(work, stream, returned)
