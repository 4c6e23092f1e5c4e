"""What holding, settling and returning one resource of a generation is, on an account or in a quota."""

from datetime import datetime
from typing import Any

from domain.credits.account import MAX_OPEN_HOLDS as MAX_ACCOUNT_HOLDS
from domain.credits.account import Account
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
from domain.credits.rules import grow, pay, spoiled
from domain.execution import View
from domain.generations.events import Held, Quoted
from domain.quotas.events import Amounts, UseExtended, UseHeld, UseReleased, UseSettled
from domain.quotas.quota import MAX_OPEN_HOLDS, Quota, fits, minus

Events = list[tuple[str, Any]]


def on_account(held: Held) -> bool:
    """Whether the resource is paid for by an account rather than counted in a quota."""
    return held.stream.startswith(STREAM_PREFIX)


def amount_of(held: Held) -> int:
    """What is held on an account."""
    return next(iter(held.amounts.values()))


def hold(view: View, held: Held, generation_id: str, expires_at: datetime, quote: Quoted) -> Events:
    """Hold it until `expires_at`. The assessment has found that it is there.

    Raises TooMany, TotalTooLarge, AlreadyExists, TooManyGrantsAtOnce.
    """
    if not on_account(held):
        quota = quota_of(view, held)
        if len(quota.holds) >= MAX_OPEN_HOLDS:
            raise TooMany(what="reservations", limit=MAX_OPEN_HOLDS)
        fits(quota, held.amounts)
        return [(held.stream, UseHeld(generation_id=generation_id, amounts=held.amounts, expires_at=expires_at))]
    account: Account = view.state(held.stream)
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
    return [(held.stream, reserved)]


def extend(view: View, held: Held, generation_id: str, expires_at: datetime, grown: int) -> Events:
    """Hold it longer; on an account `grown` more of it."""
    if not on_account(held):
        return [(held.stream, UseExtended(generation_id=generation_id, expires_at=expires_at))]
    account: Account = view.state(held.stream)
    slices = grow(account, account.holds[generation_id], grown) if grown else ()
    extended = ReservationExtended(reservation_id=generation_id, expires_at=expires_at, grown=grown, slices=slices)
    return [(held.stream, extended)]


def release(view: View, held: Held, generation_id: str, now: datetime) -> Events:
    """Give all of it back."""
    if not on_account(held):
        amounts = quota_of(view, held).holds[generation_id].amounts
        return [(held.stream, UseReleased(generation_id=generation_id, amounts=amounts))]
    account: Account = view.state(held.stream)
    kept = account.holds[generation_id]
    released = ReservationReleased(reservation_id=generation_id, amount=kept.amount, returned=kept.slices)
    return [(held.stream, event) for event in (released, *spoiled(account, kept.slices, now))]


def capture(
    view: View, held: Held, generation_id: str, debit_id: str, amount: int, now: datetime, *, final: bool
) -> Events:
    """Charge `amount` (1 up to the hold) on an account; with `final` the rest goes back."""
    account: Account = view.state(held.stream)
    kept = account.holds[generation_id]
    final = final or amount == kept.amount
    paid, rest = split(kept.slices, amount)
    returned = rest if final else ()
    captured = ReservationCaptured(
        reservation_id=generation_id, debit_id=debit_id, amount=amount, slices=paid, final=final, returned=returned
    )
    return [(held.stream, event) for event in (captured, *spoiled(account, returned, now))]


def debit(view: View, stream: str, debit_id: str, amount: int, user: str) -> Events:
    """Charge what is available on an account without a hold; the caller has seen that `amount` (1 or more) is there."""
    slices = pay(view.state(stream), amount)
    return [(stream, CreditsDebited(debit_id=debit_id, amount=amount, slices=slices, user=user))]


def use(view: View, held: Held, generation_id: str, used: Amounts, *, final: bool) -> Events:
    """Count what was really used in a quota, more than was held too; with `final` the rest goes back."""
    kept = quota_of(view, held).holds[generation_id]
    settled = UseSettled(
        generation_id=generation_id,
        used=used,
        returned=minus(kept.amounts, used) if final else {},
        final=final,
        period=kept.period,
    )
    return [(held.stream, settled)]


def quota_of(view: View, held: Held) -> Quota:
    """The quota that a resource is counted in."""
    quota: Quota = view.state(held.stream).quota
    return quota
