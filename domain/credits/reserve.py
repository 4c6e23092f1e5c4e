"""Hold credits before work starts."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.credits.account import MAX_OPEN_HOLDS, Account
from domain.credits.events import CreditsReserved, Work
from domain.credits.refusals import AlreadyExists, TooMany
from domain.credits.rules import pay
from domain.prices.book import PriceBook
from domain.prices.quote import Ask, credits_of

DEFAULT_TTL_S = 900
MAX_TTL_S = 604_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """`amount` 1 to 10^12; `ttl_s` 1 to 604,800. With `own_id` the caller chose the id, which must then be unused."""

    address: str
    reservation_id: str
    amount: int
    ttl_s: int = DEFAULT_TTL_S
    own_id: bool = False
    item: str | None = None
    price_version: int | None = None
    work: Work | None = None
    sealed: str | None = None


def reserve(
    account: Account, command: Reserve, now: datetime, same_id: tuple[object, ...] = ()
) -> tuple[CreditsReserved, ...]:
    """Raises AlreadyExists, TooMany, and what `pay` raises."""
    if same_id:
        raise AlreadyExists(field="id", value=command.reservation_id)
    if len(account.holds) >= MAX_OPEN_HOLDS:
        raise TooMany(what="reservations", limit=MAX_OPEN_HOLDS)
    return (
        CreditsReserved(
            reservation_id=command.reservation_id,
            amount=command.amount,
            expires_at=now + timedelta(seconds=command.ttl_s),
            slices=pay(account, command.amount),
            item=command.item,
            price_version=command.price_version,
            work=command.work,
            sealed=command.sealed,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservePriced:
    """Like `Reserve`, for what the price book says that `ask` costs."""

    address: str
    reservation_id: str
    ask: Ask
    ttl_s: int = DEFAULT_TTL_S
    own_id: bool = False
    sealed: str | None = None


def reserve_priced(
    account: Account, book: PriceBook, command: ReservePriced, now: datetime, same_id: tuple[object, ...] = ()
) -> tuple[CreditsReserved, ...]:
    """Raises Unpriced, and what `reserve` raises."""
    price = credits_of(book, command.ask, now, hold=True)
    plain = Reserve(
        address=command.address,
        reservation_id=command.reservation_id,
        amount=price.amount,
        ttl_s=command.ttl_s,
        own_id=command.own_id,
        item=price.item,
        price_version=price.version,
        work=Work(*price.named),
        sealed=command.sealed,
    )
    return reserve(account, plain, now, same_id)
