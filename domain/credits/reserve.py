"""Hold credits before work starts."""

from dataclasses import dataclass
from datetime import timedelta

from domain.credits.account import MAX_OPEN_HOLDS, account_of
from domain.credits.address import reservation_tag, stream_of
from domain.credits.events import CreditsReserved
from domain.credits.events import Work as Done
from domain.credits.refusals import AlreadyExists, TooMany
from domain.credits.rules import pay
from domain.kernel.work import Work
from domain.prices.book import book_of
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
    work: Done | None = None
    sealed: str | None = None


def reserve(work: Work, command: Reserve) -> None:
    """Raises AlreadyExists, TooMany, and what `pay` raises."""
    stream = stream_of(command.address)
    account = account_of(work, stream)
    if command.own_id and work.events(reservation_tag(command.reservation_id)):
        raise AlreadyExists(field="id", value=command.reservation_id)
    if len(account.holds) >= MAX_OPEN_HOLDS:
        raise TooMany(what="reservations", limit=MAX_OPEN_HOLDS)
    reserved = CreditsReserved(
        reservation_id=command.reservation_id,
        amount=command.amount,
        expires_at=work.now + timedelta(seconds=command.ttl_s),
        slices=pay(account, command.amount),
        item=command.item,
        price_version=command.price_version,
        work=command.work,
        sealed=command.sealed,
    )
    work.emit(stream, reserved)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservePriced:
    """Like `Reserve`, for what the price book says that `ask` costs."""

    address: str
    reservation_id: str
    ask: Ask
    ttl_s: int = DEFAULT_TTL_S
    own_id: bool = False
    sealed: str | None = None


def reserve_priced(work: Work, command: ReservePriced) -> None:
    """Raises Unpriced, and what `reserve` raises."""
    price = credits_of(book_of(work), command.ask, work.now, hold=True)
    plain = Reserve(
        address=command.address,
        reservation_id=command.reservation_id,
        amount=price.amount,
        ttl_s=command.ttl_s,
        own_id=command.own_id,
        item=price.item,
        price_version=price.version,
        work=Done(*price.named),
        sealed=command.sealed,
    )
    reserve(work, plain)
