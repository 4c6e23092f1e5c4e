"""Rules that several commands share: who may spend, what may come in, and how a hold's slices go back."""

from collections.abc import Iterable
from datetime import datetime

from domain.bounds import MAX_SLICES, MAX_TOTAL, TotalTooLarge
from domain.credits.account import MAX_LIVE_GRANTS, Account, Hold, account_of
from domain.credits.address import reservation_tag
from domain.credits.burn import burn_key, joined, take
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
    TooManyGrantsAtOnce,
)
from domain.kernel.work import Work


def pay(account: Account, amount: int) -> tuple[Slice, ...]:
    """The slices that pay `amount` (1 or more), MAX_SLICES at most, or a refusal.

    Raises AccountClosed, AccountFrozen, InsufficientCredits, TooManyGrantsAtOnce, TotalTooLarge.
    """
    if account.closed:
        raise AccountClosed
    if account.frozen:
        raise AccountFrozen
    if amount > account.spendable:
        raise InsufficientCredits(required=amount, available=max(0, account.spendable))
    if account.debited + account.reserved + amount > MAX_TOTAL:
        raise TotalTooLarge(what="charged to the account or held", limit=MAX_TOTAL)
    slices = take(account.grants, amount)
    if len(slices) > MAX_SLICES:
        raise TooManyGrantsAtOnce(limit=MAX_SLICES, possible=payable(account))
    return slices


def grow(account: Account, hold: Hold, amount: int) -> tuple[Slice, ...]:
    """The slices by which a hold grows; all of it together has no more than MAX_SLICES.

    Raises TooManyGrantsAtOnce, and what else `pay` raises.
    """
    slices = pay(account, amount)
    if len(joined(hold.slices, slices)) > MAX_SLICES:
        possible = sum(part.amount for part in account.grants[: max(0, MAX_SLICES - len(hold.slices))])
        raise TooManyGrantsAtOnce(limit=MAX_SLICES, possible=possible)
    return slices


def payable(account: Account) -> int:
    """What of the spendable credits one operation can take: all of them, where they are of MAX_SLICES grants at most.

    What is below zero counts as one grant more.
    """
    most = min(account.spendable, MAX_TOTAL - account.debited - account.reserved)
    if len(account.grants) < MAX_SLICES:
        return most
    return min(most, sum(part.amount for part in account.grants[:MAX_SLICES]))


def collected(account: Account) -> tuple[CreditsEvent, ...]:
    """What follows when credits have come in while a shortfall is open: they pay it, as far as they go (contract)."""
    amount = min(account.shortfall, account.free)
    if amount and len(account.grants) > MAX_SLICES:  # the rest is paid when credits come in again
        amount = min(amount, sum(part.amount for part in account.grants[:MAX_SLICES]))
    amount = min(amount, MAX_TOTAL - account.debited - account.reserved)
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


def collect(work: Work, stream: str) -> None:
    """Let credits that have come in pay an open shortfall."""
    for event in collected(account_of(work, stream)):
        work.emit(stream, event)


def expire_returned(work: Work, stream: str, slices: Iterable[Slice]) -> None:
    """Let slices that have come back to grants which have meanwhile ended expire or be voided at once."""
    for event in spoiled(account_of(work, stream), slices, work.now):
        work.emit(stream, event)


def merged(slices: Iterable[Slice]) -> tuple[Slice, ...]:
    """Slices with those of the same grant and terms added up (a hold that grew may name a grant twice)."""
    total: dict[tuple[object, ...], Slice] = {}
    for part in slices:
        known = total.get(burn_key(part))
        total[burn_key(part)] = part if known is None else known._replace(amount=known.amount + part.amount)
    return tuple(total.values())


def open_hold(work: Work, stream: str, reservation_id: str) -> Hold:
    """The open hold of a reservation on an account. Raises NotFound, ReservationEnded, HeldByGeneration.

    The events of a reservation are loaded only where its hold is gone: they say how it ended.
    """
    hold = account_of(work, stream).holds.get(reservation_id)
    if hold is not None:
        if hold.generation:
            raise HeldByGeneration(generation_id=reservation_id)
        return hold
    history = work.history(stream, reservation_tag(reservation_id))
    if not history:
        raise NotFound(what="reservation", id=reservation_id)
    match history[-1]:
        case ReservationReleased():
            outcome = "released"
        case ReservationExpired():
            outcome = "expired"
        case _:  # captures have the tag of their debit, so a hold that ended without a reservation event was captured
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
