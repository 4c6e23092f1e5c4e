"""Grant credits to an account, now or for a later time."""

from dataclasses import dataclass
from datetime import datetime

from domain.bounds import within
from domain.credits.account import account_of
from domain.credits.address import payment_tag, stream_of
from domain.credits.events import CreditsGranted, GrantScheduled, Paid, Slice
from domain.credits.refusals import AlreadyExists, InvalidTime
from domain.credits.rules import collect, repay, room_for_grants
from domain.kernel.work import Work

DEFAULT_PRIORITY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """`amount` 1 to 10^12; `priority` 0 (burns first) to 1000; times with a zone, `effective_at` none for now."""

    address: str
    grant_id: str
    amount: int
    source: str
    priority: int = DEFAULT_PRIORITY
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    external_ref: str | None = None
    paid: Paid | None = None
    sealed: str | None = None


def grant(work: Work, command: Grant) -> None:
    """Raises AlreadyExists where the reference was used before, and what `add` raises."""
    if command.external_ref and work.events(payment_tag(command.external_ref)):
        raise AlreadyExists(field="external_ref", value=command.external_ref)
    add(work, command)


def add(work: Work, command: Grant) -> None:
    """The grant, whatever has paid for it. Raises AccountClosed, TooMany, TotalTooLarge, InvalidTime."""
    stream, now = stream_of(command.address), work.now
    account = account_of(work, stream)
    room_for_grants(account)
    within(account.granted, command.amount, "granted to the account")
    starts = max(command.effective_at or now, now)
    if command.expires_at and command.expires_at <= starts:
        raise InvalidTime(field="expires_at", reason="must be later than now and than effective_at")
    terms = Slice(command.grant_id, command.amount, command.source, command.priority, command.expires_at, now)
    if starts > now:
        scheduled = GrantScheduled(
            grant=terms,
            effective_at=starts,
            external_ref=command.external_ref,
            paid=command.paid,
            sealed=command.sealed,
        )
        work.emit(stream, scheduled)
        return
    repaid, _ = repay(account, (terms,))
    granted = CreditsGranted(
        grant=terms, repaid=repaid, external_ref=command.external_ref, paid=command.paid, sealed=command.sealed
    )
    work.emit(stream, granted)
    if account.shortfall:
        collect(work, stream)
