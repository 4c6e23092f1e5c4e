"""Give held credits back when the work has failed or is not wanted any more."""

from dataclasses import dataclass
from datetime import datetime

from domain.credits.account import Account
from domain.credits.events import CreditsEvent, ReservationReleased
from domain.credits.rules import open_hold, spoiled


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Return all that is left of the hold."""

    address: str
    reservation_id: str
    sealed: str | None = None


def release(
    account: Account, command: Release, now: datetime, history: tuple[CreditsEvent, ...] = ()
) -> tuple[CreditsEvent, ...]:
    """Raises NotFound, ReservationEnded."""
    hold = open_hold(account, command.reservation_id, history)
    released = ReservationReleased(
        reservation_id=command.reservation_id, amount=hold.amount, returned=hold.slices, sealed=command.sealed
    )
    return (released, *spoiled(account, hold.slices, now))
