"""Give up what is owed for work that could not be paid for."""

from dataclasses import dataclass

from domain.credits.account import account_of
from domain.credits.address import stream_of
from domain.credits.events import ShortfallWrittenOff
from domain.kernel.work import Work
from domain.refusal import Refusal, RefusalKind


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOffShortfall:
    """`amount` 1 to 10^12, none for all that is owed; the next grant then pays no more than the rest."""

    address: str
    amount: int | None = None
    sealed: str | None = None


class ExceedsShortfall(Refusal, code="exceeds_shortfall", kind=RefusalKind.CONFLICT):
    """More was to be written off than is owed."""

    amount: int
    left: int

    def __str__(self) -> str:
        if not self.left:
            return "The account has no shortfall."
        return f"The amount {self.amount} is more than the {self.left} that the account is short of."


def write_off(work: Work, command: WriteOffShortfall) -> None:
    """Raises ExceedsShortfall, also where nothing is owed."""
    stream = stream_of(command.address)
    account = account_of(work, stream)
    amount = account.shortfall if command.amount is None else command.amount
    if not 1 <= amount <= account.shortfall:
        raise ExceedsShortfall(amount=amount, left=account.shortfall)
    work.emit(stream, ShortfallWrittenOff(amount=amount, sealed=command.sealed))
