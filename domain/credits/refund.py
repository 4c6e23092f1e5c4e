"""Give a debit back, whole or in part, to the grants that paid for it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.credits.account import account_of
from domain.credits.address import debit_tag, stream_of
from domain.credits.burn import overdraft_in, split
from domain.credits.events import OVERDRAFT, CreditsRefunded, Slice
from domain.credits.refusals import ExceedsDebit
from domain.credits.rules import charge_of, expire_returned, room_for_grants
from domain.kernel.work import Work

USABLE_AFTER_EXPIRY = timedelta(days=7)
REFUND_PRIORITY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """`amount` none for all of the debit that is not yet refunded."""

    address: str
    refund_id: str
    debit_id: str
    amount: int | None = None
    sealed: str | None = None


def refund(work: Work, command: Refund) -> None:
    """Never more than the debit in total; credits that had expired stay usable for 7 days (contract).

    Raises NotFound, ExceedsDebit, AccountClosed, TooMany.
    """
    stream = stream_of(command.address)
    account, history = account_of(work, stream), work.history(stream, debit_tag(command.debit_id))
    charge = charge_of(command.debit_id, history)
    given_back = sum(event.amount for event in history if isinstance(event, CreditsRefunded))
    left = charge.amount - given_back
    amount = left if command.amount is None else command.amount
    if not left or amount > left:
        raise ExceedsDebit(amount=amount, left=left)
    # The slice that was charged last comes back first: it is the one that burns last.
    _, open_slices = split(tuple(reversed(charge.slices)), given_back)
    back, _ = split(open_slices, amount)
    owed_less = min(account.owed, overdraft_in(back))
    returned = _terms(back, command, overdraft_in(back) - owed_less, work.now)
    room_for_grants(account, len(returned))
    refunded = CreditsRefunded(
        refund_id=command.refund_id,
        debit_id=command.debit_id,
        amount=amount,
        returned=returned,
        owed_less=owed_less,
        sealed=command.sealed,
    )
    work.emit(stream, refunded)
    expire_returned(work, stream, returned)


def _terms(back: tuple[Slice, ...], command: Refund, repaid_before: int, now: datetime) -> tuple[Slice, ...]:
    """The slices as they become usable again; debt that a grant had already repaid comes back as new credits."""
    returned = [
        part._replace(expires_at=max(part.expires_at, now + USABLE_AFTER_EXPIRY))
        if part.expires_at and part.expires_at <= now
        else part
        for part in back
        if part.grant != OVERDRAFT
    ]
    if repaid_before:
        returned.append(Slice(command.refund_id, repaid_before, "refund", REFUND_PRIORITY, None, now))
    return tuple(returned)
