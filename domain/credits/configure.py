"""Freeze, close or open an account, and set how far below zero it may go."""

from dataclasses import dataclass
from datetime import datetime

from domain.credits.account import Account
from domain.credits.events import AccountConfigured
from domain.credits.refusals import AccountInUse


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigureAccount:
    """What is none stays as it is. `credit_limit` in credits below zero, 0 to 10^12."""

    address: str
    frozen: bool | None = None
    closed: bool | None = None
    credit_limit: int | None = None


def configure(account: Account, command: ConfigureAccount, _now: datetime) -> tuple[AccountConfigured, ...]:
    """Raises AccountInUse where an account with open reservations would be closed."""
    closed = account.closed if command.closed is None else command.closed
    if closed and account.holds:
        raise AccountInUse(open_reservations=len(account.holds))
    return (
        AccountConfigured(
            frozen=account.frozen if command.frozen is None else command.frozen,
            closed=closed,
            credit_limit=account.credit_limit if command.credit_limit is None else command.credit_limit,
        ),
    )
