"""Short names for the facts that the tests of credits start from."""

from datetime import datetime

from domain.credits.events import EPOCH, OVERDRAFT, AccountConfigured, CreditsGranted, CreditsReserved, Slice
from tests.domain.scenario import NOW, after

TTL_S = 900
ENDS = after(TTL_S)


def part(
    amount: int,
    grant: str = "g1",
    *,
    priority: int = 50,
    expires_at: datetime | None = None,
    granted_at: datetime = NOW,
    source: str = "purchase",
) -> Slice:
    """A part of a grant."""
    return Slice(grant, amount, source, priority, expires_at, granted_at)


def below_zero(amount: int) -> Slice:
    """A part that no grant covers."""
    return Slice(OVERDRAFT, amount, "overdraft", 0, None, EPOCH)


def granted(
    amount: int,
    grant: str = "g1",
    *,
    priority: int = 50,
    expires_at: datetime | None = None,
    granted_at: datetime = NOW,
) -> CreditsGranted:
    """Credits came in."""
    return CreditsGranted(grant=part(amount, grant, priority=priority, expires_at=expires_at, granted_at=granted_at))


def reserved(*slices: Slice, reservation: str = "r1", expires_at: datetime = ENDS) -> CreditsReserved:
    """These parts of grants are held."""
    amount = sum(item.amount for item in slices)
    return CreditsReserved(reservation_id=reservation, amount=amount, expires_at=expires_at, slices=slices)


def postpaid(limit: int) -> AccountConfigured:
    """The account may go below zero."""
    return AccountConfigured(frozen=False, closed=False, credit_limit=limit)


FROZEN = AccountConfigured(frozen=True, closed=False, credit_limit=0)
CLOSED = AccountConfigured(frozen=False, closed=True, credit_limit=0)
