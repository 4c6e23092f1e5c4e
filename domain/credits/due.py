"""What time alone makes happen to an account: promised grants begin, holds and grants end."""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice

from domain.credits.account import Account, Hold, evolve
from domain.credits.address import generation_stream
from domain.credits.allowance import renewal
from domain.credits.burn import burn_key
from domain.credits.events import (
    AllowanceGranted,
    CreditsEvent,
    CreditsGranted,
    GrantExpired,
    GrantScheduled,
    ReservationExpired,
    Slice,
)
from domain.credits.rules import collected, repay, spoiled
from domain.kernel.work import SLICE


def due(
    account: Account, now: datetime, most: int = SLICE, only: Collection[str] | None = None
) -> tuple[CreditsEvent, ...]:
    """The events that are due at `now` (the database's clock), in the order in which they must be written.

    Every decision runs this first and writes what it returns, so the sweeper's punctuality never matters
    (architecture, "Time"). `most` and `only`: see `domain.kernel.work.Due`.
    """
    if account.next_due > now:
        return ()
    passing = _Passing(account, now)
    if only is not None:
        for id_ in only:
            hold = account.holds.get(id_)
            if hold is not None and hold.expires_at <= now:
                passing.end(id_, hold)
        return tuple(passing.events)
    begun = list(islice(account.scheduled.ended(now), most + 1))
    ended = list(islice(account.holds.ended(now), most + 1))
    expired = list(islice(account.grants.expired(now), most + 1))
    parts = sum(len(hold.slices) for _, hold in ended)  # each may be spoiled
    if len(begun) + parts + len(expired) > most:
        passing.some(begun, ended, most)
    else:
        passing.all(begun, ended)
    return tuple(passing.events)


class _Passing:
    """What has happened to an account while time passes, in `events`."""

    def __init__(self, account: Account, now: datetime) -> None:
        self.account = account
        self.now = now
        self.events: list[CreditsEvent] = []

    def all(self, begun: Sequence[tuple[str, GrantScheduled]], ended: Sequence[tuple[str, Hold]]) -> None:
        """All that is due; `begun` and `ended` are all of their kind."""
        for _, waiting in begun:
            self.begin(waiting)
        for id_, hold in ended:
            self.end(id_, hold)
        for grant in sorted(self.account.grants.expired(self.now), key=burn_key):
            self._happened(GrantExpired(grant=grant))
        for event in renewal(self.account, self.now):
            self._happened(event)
        self._collect()

    def some(self, begun: Sequence[tuple[str, GrantScheduled]], ended: Sequence[tuple[str, Hold]], most: int) -> None:
        """Some `most` events. What has ended goes first: a shortfall must not be paid by credits that have expired."""
        for id_, hold in ended:
            if len(self.events) >= most:
                return
            self.end(id_, hold)
        for grant in list(islice(self.account.grants.expired(self.now), max(0, most - len(self.events)))):
            self._happened(GrantExpired(grant=grant))
        for _, waiting in begun:
            if len(self.events) >= most:
                break
            for event in spoiled(self.account, self.begin(waiting), self.now):
                self._happened(event)
        self._collect()

    def begin(self, waiting: GrantScheduled) -> tuple[Slice, ...]:
        """A promised grant begins; returns what of it is free."""
        repaid, free = repay(self.account, (waiting.grant,))
        self._happened(
            CreditsGranted(
                grant=waiting.grant,
                repaid=repaid,
                external_ref=waiting.external_ref,
                paid=waiting.paid,
                sealed=waiting.sealed,
            )
        )
        return free

    def end(self, id_: str, hold: Hold) -> None:
        """A hold ends."""
        expired = ReservationExpired(
            reservation_id=id_, amount=hold.amount, returned=hold.slices, generation=hold.generation
        )
        self._happened(expired)
        for event in spoiled(self.account, hold.slices, self.now):
            self._happened(event)

    def _collect(self) -> None:
        if any(isinstance(event, CreditsGranted | AllowanceGranted) for event in self.events):
            for event in collected(self.account):
                self._happened(event)

    def _happened(self, event: CreditsEvent) -> None:
        self.account = evolve(self.account, event)
        self.events.append(event)


def co_expiring_streams(event: CreditsEvent, _account: Account) -> tuple[str, ...]:
    """A hold of a generation ends with the generation, whichever of its streams is looked at first."""
    if isinstance(event, ReservationExpired) and event.generation:
        return (generation_stream(event.reservation_id),)
    return ()


def ended_id(event: CreditsEvent) -> str:
    """The generation whose hold has ended."""
    return event.reservation_id if isinstance(event, ReservationExpired) else ""
