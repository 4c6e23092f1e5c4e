"""Rules that several commands share: who may spend, what may come in, and how a hold's slices go back."""

from collections.abc import Iterable
from datetime import datetime

from domain.credits.account import MAX_LIVE_GRANTS, Account, Hold
from domain.credits.burn import burn_key, take
from domain.credits.events import (
    CreditsDebited,
    CreditsEvent,
    GrantExpired,
    GrantVoided,
    ReservationCaptured,
    ReservationExpired,
    ReservationReleased,
    ShortfallCollected,
    Slice,
)
from domain.credits.refusals import (
    AccountClosed,
    AccountFrozen,
    HeldByGeneration,
    InsufficientCredits,
    NotFound,
    ReservationEnded,
    TooMany,
)


def pay(account: Account, amount: int) -> tuple[Slice, ...]:
    """The slices that pay `amount` (1 or more), or a refusal.

    Raises AccountClosed, AccountFrozen, InsufficientCredits.
    """
    if account.closed:
        raise AccountClosed
    if account.frozen:
        raise AccountFrozen
    if amount > account.spendable:
        raise InsufficientCredits(required=amount, available=max(0, account.spendable))
    return take(account.grants, amount)


def collected(account: Account) -> tuple[CreditsEvent, ...]:
    """What follows when credits have come in while a shortfall is open: they pay it, as far as they go (contract)."""
    amount = min(account.shortfall, account.free)
    if amount <= 0:
        return ()
    debit_id = f"shortfall.{account.grants[0].grant}.{account.debited}"
    return (ShortfallCollected(debit_id=debit_id, amount=amount, slices=take(account.grants, amount)),)


def room_for_grants(account: Account, count: int = 1) -> None:
    """Refuse when `count` more grants would pass the bound on live grants, or the account is closed.

    Raises AccountClosed, TooMany.
    """
    if account.closed:
        raise AccountClosed
    if len(account.grants) + len(account.scheduled) + count > MAX_LIVE_GRANTS:
        raise TooMany(what="grants", limit=MAX_LIVE_GRANTS)


def repay(account: Account, slices: tuple[Slice, ...]) -> tuple[int, tuple[Slice, ...]]:
    """How much of incoming slices covers a debt below zero, and what is left of them."""
    repaid = min(account.owed, sum(part.amount for part in slices))
    left: list[Slice] = []
    rest = repaid
    for part in slices:
        used = min(rest, part.amount)
        rest -= used
        if part.amount > used:
            left.append(part._replace(amount=part.amount - used))
    return repaid, tuple(left)


def spoiled(account: Account, slices: Iterable[Slice], now: datetime) -> tuple[CreditsEvent, ...]:
    """What follows when slices come back to grants that have meanwhile ended: they expire or are voided at once."""
    events: list[CreditsEvent] = []
    for part in merged(slices):
        if part.grant in account.voided_grants:
            events.append(GrantVoided(grant=part))
        elif part.expires_at and part.expires_at <= now:
            events.append(GrantExpired(grant=part))
    return tuple(events)


def merged(slices: Iterable[Slice]) -> tuple[Slice, ...]:
    """Slices with those of the same grant and terms added up (a hold that grew may name a grant twice)."""
    total: dict[tuple[object, ...], Slice] = {}
    for part in slices:
        known = total.get(burn_key(part))
        total[burn_key(part)] = part if known is None else known._replace(amount=known.amount + part.amount)
    return tuple(total.values())


def open_hold(account: Account, reservation_id: str, history: tuple[CreditsEvent, ...]) -> Hold:
    """The open hold of a reservation.

    `history` is the reservation's tagged events, which tell a hold that has ended from one that never was.
    Raises NotFound, ReservationEnded, HeldByGeneration.
    """
    hold = account.holds.get(reservation_id)
    if hold is not None:
        if hold.generation:
            raise HeldByGeneration(generation_id=reservation_id)
        return hold
    if not history:
        raise NotFound(what="reservation", id=reservation_id)
    match history[-1]:
        case ReservationReleased():
            outcome = "released"
        case ReservationExpired():
            outcome = "expired"
        case _:  # captures are tagged with their debit, so a hold that is gone without a word was captured
            outcome = "captured"
    raise ReservationEnded(reservation_id=reservation_id, outcome=outcome)


def charge_of(
    debit_id: str, history: tuple[CreditsEvent, ...]
) -> ReservationCaptured | CreditsDebited | ShortfallCollected:
    """The event that charged a debit. Raises NotFound."""
    for event in history:
        if isinstance(event, ReservationCaptured | CreditsDebited | ShortfallCollected):
            return event
    raise NotFound(what="debit", id=debit_id)
