"""What time makes happen to an account: grants begin, holds and grants end, and a plan's allowance renews (S3)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from domain.credits.account import Account, Allowance, Hold, account_of, evolve
from domain.credits.address import generation_stream
from domain.credits.burn import burn_key
from domain.credits.events import (
    AllowanceGranted,
    AllowanceSet,
    CreditsEvent,
    CreditsGranted,
    GrantExpired,
    GrantScheduled,
    ReservationExpired,
    Slice,
)
from domain.credits.rules import collect, collected, repay, spoiled
from domain.kernel.work import SLICE, Work
from domain.periods import CYCLE, cycle_at

SOURCE = "plan"
PRIORITY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAllowance:
    """`amount` per cycle, 0 to 10^12. Cycles are counted from `anchor`; nothing is granted from `until` on."""

    id: str
    plan: str
    amount: int
    anchor: datetime
    until: datetime | None = None


def set_allowance(work: Work, stream: str, command: SetAllowance) -> None:
    """The new allowance, with the current cycle's difference granted at once.

    A smaller allowance takes nothing away from the cycle that runs: it begins with the next one. What the cycle has
    granted already counts, so that going up, down and up again grants nothing twice.
    """
    account, now = account_of(work, stream), work.now
    cycle = cycle_at(command.anchor, now)
    chosen = AllowanceSet(
        id=command.id, plan=command.plan, amount=command.amount, anchor=command.anchor, cycle=cycle, until=command.until
    )
    work.emit(stream, chosen)
    before = account.allowance
    same = before is not None and (before.anchor, before.cycle) == (command.anchor, cycle)
    granted = before.granted if before is not None and same else 0
    missing = command.amount - granted
    if missing <= 0:
        return
    allowance = Allowance(command.id, command.plan, command.amount, command.anchor, cycle, granted, command.until)
    work.emit(stream, _granted(account, allowance, missing, 0, now))
    collect(work, stream)


def renewal(account: Account, now: datetime) -> tuple[CreditsEvent, ...]:
    """The current cycle's grant where a cycle has begun; skipped ones are counted (architecture, "Time")."""
    allowance = account.allowance
    if allowance is None or not allowance.amount or allowance.refresh_at > now:
        return ()
    cycle = cycle_at(allowance.anchor, now)
    if allowance.until is not None and allowance.anchor + cycle * CYCLE >= allowance.until:
        return (
            AllowanceSet(
                id=allowance.id, plan=allowance.plan, amount=0, anchor=allowance.anchor, cycle=cycle,
                until=allowance.until,
            ),
        )  # fmt: skip
    begun = allowance._replace(cycle=cycle, granted=0)
    return (_granted(account, begun, allowance.amount, cycle - allowance.cycle - 1, now),)


def _granted(account: Account, allowance: Allowance, amount: int, skipped: int, now: datetime) -> AllowanceGranted:
    """What an allowance grants in its cycle, beside what it has `granted` there: both name the grant, once."""
    grant_id = f"{allowance.id}.{allowance.cycle}.{allowance.granted}"
    terms = Slice(grant_id, amount, SOURCE, PRIORITY, allowance.refresh_at, now)
    repaid, _ = repay(account, (terms,))
    return AllowanceGranted(grant=terms, cycle=allowance.cycle, skipped=skipped, repaid=repaid)


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
