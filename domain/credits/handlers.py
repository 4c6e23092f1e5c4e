"""How each command on accounts is handled: which streams and tags its decision sees."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from domain.credits import account as accounts
from domain.credits.address import STREAM_PREFIX, debit_tag, payment_tag, reservation_tag, stream_of
from domain.credits.capture import Capture, capture
from domain.credits.configure import ConfigureAccount, configure
from domain.credits.debit import Debit, DebitPriced, debit, debit_priced
from domain.credits.due import co_expiring_streams, due, refresh
from domain.credits.events import EVENTS
from domain.credits.extend import Extend, extend
from domain.credits.grant import Grant, grant
from domain.credits.refund import Refund, refund
from domain.credits.release import Release, release
from domain.credits.reserve import Reserve, ReservePriced, reserve, reserve_priced
from domain.credits.shortfall import WriteOffShortfall, write_off
from domain.credits.transfer import Transfer, transfer
from domain.credits.void import VoidGrant, void
from domain.kernel.domain import Decider, Module
from domain.kernel.work import StreamKind, Work
from domain.prices import book as price_book


def _streams(command: Any) -> tuple[str, ...]:
    return (stream_of(command.address),)


def _account(decide: Callable[..., Iterable[Any]]) -> Decider:
    """The handler of a command that one account's state decides."""

    def run(work: Work, command: Any, now: datetime) -> Iterable[tuple[str, Any]]:
        stream = stream_of(command.address)
        return [(stream, event) for event in decide(work.state(stream), command, now)]

    return Decider(_streams, run)


def _account_with_new(decide: Callable[..., Iterable[Any]], tag: Callable[[Any], str | None]) -> Decider:
    """The same where the command may bring an id that must be new in the whole organisation."""

    def tags(command: Any) -> tuple[str, ...]:
        name = tag(command)
        return (name,) if name else ()

    def run(work: Work, command: Any, now: datetime) -> Iterable[tuple[str, Any]]:
        stream = stream_of(command.address)
        same_id = tuple(found for name in tags(command) for found in work.events(name))
        return [(stream, event) for event in decide(work.state(stream), command, now, same_id)]

    return Decider(_streams, run, tags=tags)


def _history(work: Work, stream: str, tag: str) -> tuple[Any, ...]:
    """The events about one entity of this stream; the same id in another account is another account's business."""
    return tuple(event for home, event in work.events(tag) if home == stream)


def _refund(work: Work, command: Refund, now: datetime) -> Iterable[tuple[str, Any]]:
    stream = stream_of(command.address)
    history = _history(work, stream, debit_tag(command.debit_id))
    return [(stream, event) for event in refund(work.state(stream), command, now, history)]


def _held(decide: Callable[..., Iterable[Any]]) -> Decider:
    """The handler of a command on a hold; only when the hold is gone does it matter what has become of it."""

    def run(work: Work, command: Any, now: datetime) -> Iterable[tuple[str, Any]]:
        stream = stream_of(command.address)
        account = work.state(stream)
        gone = command.reservation_id not in account.holds
        history = _history(work, stream, reservation_tag(command.reservation_id)) if gone else ()
        return [(stream, event) for event in decide(account, command, now, history)]

    return Decider(_streams, run, rare_tags=lambda command: (reservation_tag(command.reservation_id),))


def _reserve_priced(work: Work, command: ReservePriced, now: datetime) -> Iterable[tuple[str, Any]]:
    stream = stream_of(command.address)
    same_id = work.events(reservation_tag(command.reservation_id)) if command.own_id else ()
    book = work.platform(price_book.STREAM)
    return [(stream, event) for event in reserve_priced(work.state(stream), book, command, now, same_id)]


def _debit_priced(work: Work, command: DebitPriced, now: datetime) -> Iterable[tuple[str, Any]]:
    stream = stream_of(command.address)
    book = work.platform(price_book.STREAM)
    return [(stream, event) for event in debit_priced(work.state(stream), book, command, now)]


def _transfer(work: Work, command: Transfer, now: datetime) -> Iterable[tuple[str, Any]]:
    sender, receiver = stream_of(command.address), stream_of(command.to)
    went, came = transfer(work.state(sender), work.state(receiver), command, now)
    return ((sender, went), *((receiver, event) for event in came))


def _payment(command: Grant) -> str | None:
    return payment_tag(command.external_ref) if command.external_ref else None


def _own_id(command: Reserve | ReservePriced) -> str | None:
    return reservation_tag(command.reservation_id) if command.own_id else None


DECIDERS: dict[type, Decider] = {
    Grant: _account_with_new(grant, _payment),
    VoidGrant: _account(void),
    Reserve: _account_with_new(reserve, _own_id),
    ReservePriced: Decider(
        _streams,
        _reserve_priced,
        tags=lambda command: (reservation_tag(command.reservation_id),) if command.own_id else (),
        platform=(price_book.STREAM,),
    ),
    Extend: _held(extend),
    Capture: _held(capture),
    Release: _held(release),
    Debit: _account(debit),
    DebitPriced: Decider(_streams, _debit_priced, platform=(price_book.STREAM,)),
    Refund: Decider(_streams, _refund, tags=lambda command: (debit_tag(command.debit_id),)),
    Transfer: Decider(lambda command: (stream_of(command.address), stream_of(command.to)), _transfer),
    ConfigureAccount: _account(configure),
    WriteOffShortfall: _account(write_off),
}

KINDS: dict[str, StreamKind] = {
    STREAM_PREFIX: StreamKind(
        initial=accounts.Account(),
        evolve=accounts.evolve,
        next_due=lambda account: account.next_due,
        due=due,
        refresh=refresh,
        entries=lambda account: len(account.holds) + len(account.grants) + len(account.scheduled),
        schema=2,
        co_expiring_streams=co_expiring_streams,
    ),
}


MODULE = Module(deciders=DECIDERS, kinds=KINDS, events=EVENTS)
