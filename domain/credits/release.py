"""Give held credits back when the work has failed or is not wanted any more."""

from dataclasses import dataclass

from domain.credits.address import stream_of
from domain.credits.events import ReservationReleased
from domain.credits.rules import expire_returned, open_hold
from domain.kernel.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Return all that is left of the hold."""

    address: str
    reservation_id: str
    sealed: str | None = None


def release(work: Work, command: Release) -> None:
    """Raises NotFound, ReservationEnded."""
    stream = stream_of(command.address)
    hold = open_hold(work, stream, command.reservation_id)
    released = ReservationReleased(
        reservation_id=command.reservation_id, amount=hold.amount, returned=hold.slices, sealed=command.sealed
    )
    work.emit(stream, released)
    expire_returned(work, stream, hold.slices)
