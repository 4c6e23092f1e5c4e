"""Charge credits at once, without a hold."""

from dataclasses import dataclass

from domain.credits.account import account_of
from domain.credits.address import stream_of
from domain.credits.events import CreditsDebited
from domain.credits.events import Work as Done
from domain.credits.rules import pay
from domain.kernel.work import Work
from domain.prices.book import book_of
from domain.prices.quote import Ask, credits_for_usage, credits_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Debit:
    """`amount` 1 to 10^12 credits."""

    address: str
    debit_id: str
    amount: int
    item: str | None = None
    price_version: int | None = None
    work: Done | None = None
    sealed: str | None = None


def debit(work: Work, command: Debit) -> None:
    """Raises what `pay` raises."""
    stream = stream_of(command.address)
    debited = CreditsDebited(
        debit_id=command.debit_id,
        amount=command.amount,
        slices=pay(account_of(work, stream), command.amount),
        item=command.item,
        price_version=command.price_version,
        work=command.work,
        sealed=command.sealed,
    )
    work.emit(stream, debited)


@dataclass(frozen=True, slots=True, kw_only=True)
class DebitPriced:
    """Like `Debit`, for what the price book says that `ask` costs; with `usage`, by the units used and their rates."""

    address: str
    debit_id: str
    ask: Ask
    usage: dict[str, int] | None = None
    sealed: str | None = None


def debit_priced(work: Work, command: DebitPriced) -> None:
    """Raises Unpriced, and what `debit` raises."""
    book, usage, now = book_of(work), command.usage, work.now
    price = credits_for_usage(book, command.ask, usage, now) if usage else credits_of(book, command.ask, now)
    plain = Debit(
        address=command.address,
        debit_id=command.debit_id,
        amount=price.amount,
        item=price.item,
        price_version=price.version,
        work=Done(*price.named),
        sealed=command.sealed,
    )
    debit(work, plain)
