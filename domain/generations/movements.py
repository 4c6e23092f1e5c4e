"""What holding, settling and returning one resource of a generation is, on an account or in a quota."""

from datetime import datetime

from domain.credits.account import MAX_OPEN_HOLDS as MAX_ACCOUNT_HOLDS
from domain.credits.account import account_of
from domain.credits.address import STREAM_PREFIX
from domain.credits.burn import split
from domain.credits.events import (
    CreditsDebited,
    CreditsReserved,
    ReservationCaptured,
    ReservationExtended,
    ReservationReleased,
)
from domain.credits.refusals import AlreadyExists, TooMany
from domain.credits.rules import expire_returned, grow, pay
from domain.generations.events import Held, Quoted
from domain.groups.state import group_on
from domain.kernel.work import Work
from domain.organisations.events import Resource
from domain.organisations.state import organisation_of
from domain.periods import Every
from domain.quotas import quota as quotas
from domain.quotas.events import Amounts, UseExtended, UseHeld, UseReleased, UseSettled
from domain.quotas.quota import MAX_OPEN_HOLDS, Quota, fits, minus


def on_account(held: Held) -> bool:
    """Whether the resource is paid for by an account rather than counted in a quota."""
    return held.stream.startswith(STREAM_PREFIX)


def amount_of(held: Held) -> int:
    """What is held on an account."""
    return next(iter(held.amounts.values()))


def begin(work: Work, held: Held) -> None:
    """Start the period of a quota that has one where none runs."""
    if held.resource is Resource.GROUPS:
        every = group_on(work, held.stream).every
    elif held.resource is Resource.BUDGET:
        every = Every.MONTH
    else:
        return
    quota = quota_of(work, held)
    if quota.period is None:
        quotas.begin(work, held.stream, quota, every, organisation_of(work).time_zone)


def hold(work: Work, held: Held, generation_id: str, expires_at: datetime, quote: Quoted) -> None:
    """Hold it until `expires_at`. The assessment has found that it is there.

    Raises TooMany, TotalTooLarge, AlreadyExists, TooManyGrantsAtOnce.
    """
    if not on_account(held):
        quota = quota_of(work, held)
        if len(quota.holds) >= MAX_OPEN_HOLDS:
            raise TooMany(what="reservations", limit=MAX_OPEN_HOLDS)
        fits(quota, held.amounts)
        work.emit(held.stream, UseHeld(generation_id=generation_id, amounts=held.amounts, expires_at=expires_at))
        return
    account = account_of(work, held.stream)
    if generation_id in account.holds:  # a plain reservation has taken the id since
        raise AlreadyExists(field="id", value=generation_id)
    if len(account.holds) >= MAX_ACCOUNT_HOLDS:
        raise TooMany(what="reservations", limit=MAX_ACCOUNT_HOLDS)
    amount = amount_of(held)
    reserved = CreditsReserved(
        reservation_id=generation_id,
        amount=amount,
        expires_at=expires_at,
        slices=pay(account, amount),
        item=quote.item,
        price_version=quote.price_version,
        generation=True,
    )
    work.emit(held.stream, reserved)


def extend(work: Work, held: Held, generation_id: str, expires_at: datetime, grown: int) -> None:
    """Hold it longer; on an account `grown` more of it."""
    if not on_account(held):
        work.emit(held.stream, UseExtended(generation_id=generation_id, expires_at=expires_at))
        return
    account = account_of(work, held.stream)
    slices = grow(account, account.holds[generation_id], grown) if grown else ()
    extended = ReservationExtended(reservation_id=generation_id, expires_at=expires_at, grown=grown, slices=slices)
    work.emit(held.stream, extended)


def release(work: Work, held: Held, generation_id: str) -> None:
    """Give all of it back."""
    if not on_account(held):
        amounts = quota_of(work, held).holds[generation_id].amounts
        work.emit(held.stream, UseReleased(generation_id=generation_id, amounts=amounts))
        return
    kept = account_of(work, held.stream).holds[generation_id]
    released = ReservationReleased(reservation_id=generation_id, amount=kept.amount, returned=kept.slices)
    work.emit(held.stream, released)
    expire_returned(work, held.stream, kept.slices)


def capture(work: Work, held: Held, generation_id: str, debit_id: str, amount: int, *, final: bool) -> None:
    """Charge `amount` (1 up to the hold) on an account; with `final` the rest goes back."""
    kept = account_of(work, held.stream).holds[generation_id]
    final = final or amount == kept.amount
    paid, rest = split(kept.slices, amount)
    returned = rest if final else ()
    captured = ReservationCaptured(
        reservation_id=generation_id, debit_id=debit_id, amount=amount, slices=paid, final=final, returned=returned
    )
    work.emit(held.stream, captured)
    if returned:
        expire_returned(work, held.stream, returned)


def debit(work: Work, stream: str, debit_id: str, amount: int, user: str) -> None:
    """Charge what is available on an account without a hold; the caller has seen that `amount` (1 or more) is there."""
    slices = pay(account_of(work, stream), amount)
    work.emit(stream, CreditsDebited(debit_id=debit_id, amount=amount, slices=slices, user=user))


def use(work: Work, held: Held, generation_id: str, used: Amounts, *, final: bool) -> None:
    """Count what was really used in a quota, more than was held too; with `final` the rest goes back."""
    kept = quota_of(work, held).holds[generation_id]
    settled = UseSettled(
        generation_id=generation_id,
        used=used,
        returned=minus(kept.amounts, used) if final else {},
        final=final,
        period=kept.period,
    )
    work.emit(held.stream, settled)


def quota_of(work: Work, held: Held) -> Quota:
    """The quota that a resource is counted in."""
    quota: Quota = work.state(held.stream).quota
    return quota
