"""Move free credits to another account of the organisation, for example as a gift."""

from dataclasses import dataclass

from domain.bounds import MAX_SLICES, within
from domain.credits.account import account_of
from domain.credits.address import parse_address, stream_of
from domain.credits.burn import take
from domain.credits.events import CreditsTransferredIn, CreditsTransferredOut
from domain.credits.refusals import AccountClosed, AccountFrozen, InsufficientCredits, SameAccount, TooManyGrantsAtOnce
from domain.credits.rules import expire_returned, repay, room_for_grants
from domain.kernel.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Move `amount` (1 to 10^12) free credits from `address` to the account `to` of the same unit."""

    address: str
    to: str
    transfer_id: str
    amount: int
    sealed: str | None = None


def transfer(work: Work, command: Transfer) -> None:
    """The sender's event and the receiver's, in one decision.

    A credit limit is no gift: only what is above zero can be moved. A part of a grant that was voided with the
    receiver is voided when it comes back, or a chargeback could be escaped by way of a friend's account.
    Raises SameAccount, AccountClosed, AccountFrozen, InsufficientCredits, TooMany,
    TooManyGrantsAtOnce, TotalTooLarge.
    """
    if command.to == command.address or parse_address(command.to).unit != parse_address(command.address).unit:
        raise SameAccount(to=command.to)
    giving, getting = stream_of(command.address), stream_of(command.to)
    sender, receiver = account_of(work, giving), account_of(work, getting)
    if sender.closed:
        raise AccountClosed
    if sender.frozen:
        raise AccountFrozen
    if command.amount > sender.available:
        raise InsufficientCredits(required=command.amount, available=max(0, sender.available))
    within(sender.transferred_out, command.amount, "transferred from the account")
    within(receiver.transferred_in, command.amount, "transferred to the account")
    slices = take(sender.grants, command.amount)
    if len(slices) > MAX_SLICES:
        raise TooManyGrantsAtOnce(limit=MAX_SLICES, possible=sum(part.amount for part in sender.grants[:MAX_SLICES]))
    room_for_grants(receiver, len(slices))
    repaid, arriving = repay(receiver, slices)
    went = CreditsTransferredOut(
        transfer_id=command.transfer_id,
        to=command.to,
        amount=command.amount,
        slices=slices,
        sealed=command.sealed,
    )
    came = CreditsTransferredIn(
        transfer_id=command.transfer_id,
        sender=command.address,
        amount=command.amount,
        slices=arriving,
        repaid=repaid,
    )
    work.emit(giving, went)
    work.emit(getting, came)
    expire_returned(work, getting, arriving)
