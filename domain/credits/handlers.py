"""How each command on accounts is handled: which streams and tags its decision sees."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from domain.credits import account as accounts
from domain.credits.address import STREAM_PREFIX, debit_tag, payment_tag, reservation_tag, stream_of
from domain.credits.capture import Capture, capture
from domain.credits.configure import ConfigureAccount, configure
from domain.credits.debit import Debit, DebitPriced, debit, debit_priced
from domain.credits.due import co_expiring_streams, due, ended_id
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


def _account(command: Any) -> tuple[str, ...]:
    return (stream_of(command.address),)


def _payment(command: Grant) -> tuple[str, ...]:
    return (payment_tag(command.external_ref),) if command.external_ref else ()


def _own_id(command: Reserve | ReservePriced) -> tuple[str, ...]:
    return (reservation_tag(command.reservation_id),) if command.own_id else ()


def _held(decide: Callable[[Work, Any], None]) -> Decider:
    """The decider of a command on a hold; only when the hold is gone does it matter what has become of it."""
    return Decider(_account, decide, rare_tags=lambda command: (reservation_tag(command.reservation_id),))


DECIDERS: dict[type, Decider] = {
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
}

KINDS: dict[str, StreamKind] = {
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
}


MODULE = Module(deciders=DECIDERS, kinds=KINDS, events=EVENTS)
