"""Charge credits at once, without a hold."""

from dataclasses import dataclass
from datetime import datetime

from domain.credits.account import Account
from domain.credits.events import CreditsDebited, Work
from domain.credits.rules import pay
from domain.prices.book import PriceBook
from domain.prices.quote import Ask, credits_for_usage, credits_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Debit:
    """`amount` 1 to 10^12 credits."""

    address: str
    debit_id: str
    amount: int
    item: str | None = None
    price_version: int | None = None
    work: Work | None = None
    sealed: str | None = None


def debit(account: Account, command: Debit, _now: datetime) -> tuple[CreditsDebited, ...]:
    """Raises what `pay` raises."""
    return (
        CreditsDebited(
            debit_id=command.debit_id,
            amount=command.amount,
            slices=pay(account, command.amount),
            item=command.item,
            price_version=command.price_version,
            work=command.work,
            sealed=command.sealed,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitPriced:
    """Like `Debit`, for what the price book says that `ask` costs; with `usage`, by the units used and their rates."""

    address: str
    debit_id: str
    ask: Ask
    usage: dict[str, int] | None = None
    sealed: str | None = None


def debit_priced(account: Account, book: PriceBook, command: DebitPriced, now: datetime) -> tuple[CreditsDebited, ...]:
    """Raises Unpriced, and what `debit` raises."""
    usage = command.usage
    price = credits_for_usage(book, command.ask, usage, now) if usage else credits_of(book, command.ask, now)
    plain = Debit(
        address=command.address,
        debit_id=command.debit_id,
        amount=price.amount,
        item=price.item,
        price_version=price.version,
        work=Work(*price.named),
        sealed=command.sealed,
    )
    return debit(account, plain, now)
