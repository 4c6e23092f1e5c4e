"""Freeze, close or open an account, and set how far below zero it may go."""

from dataclasses import dataclass

from domain.credits.account import account_of
from domain.credits.address import stream_of
from domain.credits.events import AccountConfigured
from domain.credits.refusals import AccountInUse
from domain.kernel.work import Work
from domain.refusal import StaleVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureAccount:
    """What is none stays as it is. `credit_limit` in credits below zero, 0 to 10^12.

    `expected`: frozen, closed and credit_limit as the caller has read them, where it wants to overwrite only those.
    """

    address: str
    frozen: bool | None = None
    closed: bool | None = None
    credit_limit: int | None = None
    expected: tuple[bool, bool, int] | None = None


def configure(work: Work, command: ConfigureAccount) -> None:
    """Raises StaleVersion; AccountInUse where an account with open reservations would be closed."""
    stream = stream_of(command.address)
    account = account_of(work, stream)
    switches = (account.frozen, account.closed, account.credit_limit)
    if command.expected is not None and command.expected != switches:
        raise StaleVersion(what="account", current="frozen {}, closed {}, credit limit {}".format(*switches))
    closed = account.closed if command.closed is None else command.closed
    if closed and account.holds:
        raise AccountInUse(open_reservations=len(account.holds))
    configured = AccountConfigured(
        frozen=account.frozen if command.frozen is None else command.frozen,
        closed=closed,
        credit_limit=account.credit_limit if command.credit_limit is None else command.credit_limit,
    )
    work.emit(stream, configured)
