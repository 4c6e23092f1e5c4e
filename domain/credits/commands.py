"""The commands on accounts, each with its decision. The table at the end says what each decision sees."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any

from domain.bounds import MAX_SLICES, within
from domain.credits import account as accounts
from domain.credits.account import MAX_OPEN_HOLDS, MAX_VOIDED_GRANTS, Account, account_of
from domain.credits.address import STREAM_PREFIX, debit_tag, parse_address, payment_tag, reservation_tag, stream_of
from domain.credits.burn import overdraft_in, split, take
from domain.credits.due import co_expiring_streams, due, ended_id
from domain.credits.events import (
    EVENTS,
    OVERDRAFT,
    AccountConfigured,
    CreditsDebited,
    CreditsGranted,
    CreditsRefunded,
    CreditsReserved,
    CreditsTransferredIn,
    CreditsTransferredOut,
    GrantScheduled,
    GrantVoided,
    Paid,
    ReservationCaptured,
    ReservationExtended,
    ReservationReleased,
    ShortfallWrittenOff,
    Slice,
)
from domain.credits.events import Work as Done
from domain.credits.refusals import (
    AccountClosed,
    AccountFrozen,
    AccountInUse,
    AlreadyExists,
    ExceedsDebit,
    ExceedsHold,
    InsufficientCredits,
    InvalidTime,
    NotFound,
    SameAccount,
    TooMany,
    TooManyGrantsAtOnce,
)
from domain.credits.rules import charge_of, collect, expire_returned, grow, open_hold, pay, repay, room_for_grants
from domain.kernel.domain import Decider, Module
from domain.kernel.work import StreamKind, Work
from domain.prices import book as price_book
from domain.prices.book import book_of
from domain.prices.quote import Ask, credits_for_usage, credits_of
from domain.refusal import Refusal, RefusalKind, StaleVersion

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


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidGrant:
    """Void the grant `grant_id`; what is held of it is voided when its holds end, what is spent stays spent.

    For example after a chargeback. A grant of which nothing is left is marked as well, so that a refund, the rest of a
    hold or a returned gift is taken back at once: otherwise spending first would escape the chargeback.

    `known`: the terms of the grant where the account has or had some of it. A state keeps live grants only, so the
    caller looks this up; once true it stays true. None for a grant that the account never had.
    """

    address: str
    grant_id: str
    sealed: str | None = None
    known: Slice | None = None


def void(work: Work, command: VoidGrant) -> None:
    """Raises NotFound for a grant that is unknown or void already; TooMany at the bound."""
    stream = stream_of(command.address)
    account = account_of(work, stream)
    if len(account.voided_grants) >= MAX_VOIDED_GRANTS:
        raise TooMany(what="voided_grants", limit=MAX_VOIDED_GRANTS)
    waiting = account.scheduled.get(command.grant_id)
    if waiting is not None:
        work.emit(stream, GrantVoided(grant=waiting.grant, effective=False, sealed=command.sealed))
        return
    live = [item for item in account.grants if item.grant == command.grant_id]
    for item in live:
        work.emit(stream, GrantVoided(grant=item, sealed=command.sealed))
    if live:
        return
    part = part_of(account, command.grant_id) or command.known
    if command.grant_id in account.voided_grants or part is None:
        raise NotFound(what="live grant", id=command.grant_id)
    work.emit(stream, GrantVoided(grant=part._replace(amount=0), sealed=command.sealed))


def part_of(account: Account, grant_id: str) -> Slice | None:
    """Some part of a grant that is free, promised or held, none where nothing of it is left."""
    waiting = (item.grant for item in account.scheduled.values())
    held = (part for hold in account.holds.values() for part in hold.slices)
    return next((part for part in chain(account.grants, waiting, held) if part.grant == grant_id), None)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Extend:
    """`ttl_s` 1 to 604,800 seconds from now; `grow` further credits to hold, 0 for none."""

    address: str
    reservation_id: str
    ttl_s: int
    grow: int = 0


def extend(work: Work, command: Extend) -> None:
    """A hold never gets shorter. Raises NotFound, ReservationEnded; to grow also what `grow` raises."""
    stream = stream_of(command.address)
    hold = open_hold(work, stream, command.reservation_id)
    extended = ReservationExtended(
        reservation_id=command.reservation_id,
        expires_at=max(hold.expires_at, work.now + timedelta(seconds=command.ttl_s)),
        grown=command.grow,
        slices=grow(account_of(work, stream), hold, command.grow) if command.grow else (),
    )
    work.emit(stream, extended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """`amount` none for all that is left; with `final` the rest returns, without it further captures may follow."""

    address: str
    reservation_id: str
    debit_id: str
    amount: int | None = None
    final: bool = True
    sealed: str | None = None


def capture(work: Work, command: Capture) -> None:
    """Raises NotFound, ReservationEnded (also after expiry), ExceedsHold."""
    stream = stream_of(command.address)
    hold = open_hold(work, stream, command.reservation_id)
    amount = hold.amount if command.amount is None else command.amount
    if amount > hold.amount:
        raise ExceedsHold(amount=amount, left=hold.amount)
    final = command.final or amount == hold.amount
    paid, rest = split(hold.slices, amount)
    returned = rest if final else ()
    captured = ReservationCaptured(
        reservation_id=command.reservation_id,
        debit_id=command.debit_id,
        amount=amount,
        slices=paid,
        final=final,
        returned=returned,
        sealed=command.sealed,
    )
    work.emit(stream, captured)
    if returned:
        expire_returned(work, stream, returned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Return all that is left of the hold."""

    address: str
    reservation_id: str
    sealed: str | None = None


def release(work: Work, command: Release) -> None:
    """Raises NotFound, ReservationEnded."""
    stream = stream_of(command.address)
    hold = open_hold(work, stream, command.reservation_id)
    released = ReservationReleased(
        reservation_id=command.reservation_id, amount=hold.amount, returned=hold.slices, sealed=command.sealed
    )
    work.emit(stream, released)
    expire_returned(work, stream, hold.slices)


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


def _account(command: Any) -> tuple[str, ...]:
    return (stream_of(command.address),)


def _payment(command: Grant) -> tuple[str, ...]:
    return (payment_tag(command.external_ref),) if command.external_ref else ()


def _own_id(command: Reserve | ReservePriced) -> tuple[str, ...]:
    return (reservation_tag(command.reservation_id),) if command.own_id else ()


def _held(decide: Callable[[Work, Any], None]) -> Decider:
    """The decider of a command on a hold; only when the hold is gone does it matter what has become of it."""
    return Decider(_account, decide, rare_tags=lambda command: (reservation_tag(command.reservation_id),))


MODULE = Module(
    deciders={
        Grant: Decider(_account, grant, tags=_payment),
        VoidGrant: Decider(_account, void),
        Reserve: Decider(_account, reserve, tags=_own_id),
        ReservePriced: Decider(_account, reserve_priced, tags=_own_id, platform=(price_book.STREAM,)),
        Extend: _held(extend),
        Capture: _held(capture),
        Release: _held(release),
        Debit: Decider(_account, debit),
        DebitPriced: Decider(_account, debit_priced, platform=(price_book.STREAM,)),
        Refund: Decider(_account, refund, tags=lambda command: (debit_tag(command.debit_id),)),
        Transfer: Decider(lambda command: (stream_of(command.address), stream_of(command.to)), transfer),
        ConfigureAccount: Decider(_account, configure),
        WriteOffShortfall: Decider(_account, write_off),
    },
    kinds={
        STREAM_PREFIX: StreamKind(
            initial=accounts.Account(),
            evolve=accounts.evolve,
            next_due=attrgetter("next_due"),
            due=due,
            entries=lambda account: len(account.holds) + len(account.grants) + len(account.scheduled),
            schema=2,
            co_expiring_streams=co_expiring_streams,
            ended_id=ended_id,
        ),
    },
    events=EVENTS,
)
