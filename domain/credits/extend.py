"""Keep a hold alive while the work goes on, and let it grow."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.credits.account import Account
from domain.credits.events import CreditsEvent, ReservationExtended
from domain.credits.rules import grow, open_hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Extend:
    """`ttl_s` 1 to 604,800 seconds from now; `grow` further credits to hold, 0 for none."""

    address: str
    reservation_id: str
    ttl_s: int
    grow: int = 0


def extend(
    account: Account, command: Extend, now: datetime, history: tuple[CreditsEvent, ...] = ()
) -> tuple[ReservationExtended, ...]:
    """A hold never gets shorter. Raises NotFound, ReservationEnded; to grow also what `grow` raises."""
    hold = open_hold(account, command.reservation_id, history)
    return (
        ReservationExtended(
            reservation_id=command.reservation_id,
            expires_at=max(hold.expires_at, now + timedelta(seconds=command.ttl_s)),
            grown=command.grow,
            slices=grow(account, hold, command.grow) if command.grow else (),
        ),
    )
