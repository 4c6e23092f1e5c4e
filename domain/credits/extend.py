"""Keep a hold alive while the work goes on, and let it grow."""

from dataclasses import dataclass
from datetime import timedelta

from domain.credits.account import account_of
from domain.credits.address import stream_of
from domain.credits.events import ReservationExtended
from domain.credits.rules import grow, open_hold
from domain.kernel.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Extend:
    """`ttl_s` 1 to 604,800 seconds from now; `grow` further credits to hold, 0 for none."""

    address: str
    reservation_id: str
    ttl_s: int
    grow: int = 0


def extend(work: Work, command: Extend) -> None:
    """A hold never gets shorter. Raises NotFound, ReservationEnded; to grow also what `grow` raises."""
    stream = stream_of(command.address)
    hold = open_hold(work, stream, command.reservation_id)
    extended = ReservationExtended(
        reservation_id=command.reservation_id,
        expires_at=max(hold.expires_at, work.now + timedelta(seconds=command.ttl_s)),
        grown=command.grow,
        slices=grow(account_of(work, stream), hold, command.grow) if command.grow else (),
    )
    work.emit(stream, extended)
