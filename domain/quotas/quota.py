"""How much of something limited is used and held, in the current period, and what time does to it."""

from collections.abc import Callable, Collection
from datetime import datetime
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple, assert_never

from domain.bounds import MAX_TOTAL, TotalTooLarge
from domain.credits.address import generation_stream
from domain.kernel.domain import Module
from domain.kernel.holds import Holds
from domain.kernel.work import SLICE, StreamKind, Work, make
from domain.periods import NEVER, Every, Period, period_of
from domain.quotas.events import (
    EVENTS,
    Amounts,
    PeriodEnded,
    PeriodStarted,
    QuotaEvent,
    UseCounted,
    UseExpired,
    UseExtended,
    UseGivenBack,
    UseHeld,
    UseReleased,
    UseSettled,
)

MAX_OPEN_HOLDS = 100_000


class UseHold(NamedTuple):
    """What one generation holds, until when, and in which period (empty where there are none)."""

    amounts: Amounts
    expires_at: datetime
    period: str


class Quota(NamedTuple):
    """Use of the current period. `held` is the sum over the holds of this period; older ones are in `holds` alone."""

    used: Amounts = {}  # noqa: RUF012 - never changed in place
    held: Amounts = {}  # noqa: RUF012 - never changed in place
    holds: Holds[UseHold] = Holds()
    period: Period | None = None
    ended: Period | None = None  # the last one that is over, of the same kind
    idle_key: str = ""  # while no period runs; `.1` after the first change of the kind of period, and so on
    restarted_at: datetime | None = None  # when that was
    next_due: datetime = NEVER  # as of any event; in a snapshot of an earlier version it may be too early

    @property
    def key(self) -> str:
        """The key under which use counts: that of the current period, or `idle_key` while none runs."""
        return self.period.key if self.period else self.idle_key

    def taken(self, what: str) -> int:
        """What is used and held of this period."""
        return self.used.get(what, 0) + self.held.get(what, 0)


def evolve(quota: Quota, event: QuotaEvent) -> Quota:  # noqa: PLR0911 - one plain branch for each event
    """Apply one event. Runs no rule and never fails for an event that a decider made."""
    match event:
        case UseHeld():
            holds = quota.holds.set(event.generation_id, UseHold(event.amounts, event.expires_at, quota.key))
            return _moved(quota, quota.used, plus(quota.held, event.amounts), holds)
        case UseSettled():
            return _settled(quota, event)
        case UseReleased() | UseExpired():
            hold = quota.holds[event.generation_id]
            held = minus(quota.held, event.amounts) if hold.period == quota.key else quota.held
            return _moved(quota, quota.used, held, quota.holds.delete(event.generation_id))
        case UseExtended():
            hold = quota.holds[event.generation_id]
            longer = UseHold(plus(hold.amounts, event.grown), event.expires_at, hold.period)
            held = plus(quota.held, event.grown) if hold.period == quota.key else quota.held
            return _moved(quota, quota.used, held, quota.holds.set(event.generation_id, longer))
        case UseCounted():
            return _moved(quota, plus(quota.used, event.amounts), quota.held, quota.holds)
        case UseGivenBack():
            used = minus(quota.used, event.amounts) if event.period == quota.key else quota.used
            return _moved(quota, used, quota.held, quota.holds)
        case PeriodStarted():
            period = Period(event.key, event.start, event.end)
            return quota._replace(used={}, held={}, period=period, next_due=min(quota.holds.next_end, event.end))
        case PeriodEnded():
            due = quota.holds.next_end
            fresh = quota._replace(used={}, held={}, period=None, ended=quota.period, next_due=due)
            if event.at is None:
                return fresh
            return fresh._replace(ended=None, idle_key=event.then, restarted_at=event.at)
        case _:
            assert_never(event)


def _moved(quota: Quota, used: Amounts, held: Amounts, holds: Holds[UseHold]) -> Quota:
    """With that used and held. Nearly all events pass here, and `_replace` takes three times as long."""
    period, due = quota.period, holds.next_end
    if period is not None and period.end < due:
        due = period.end
    after: Quota = make(Quota, (used, held, holds, period, quota.ended, quota.idle_key, quota.restarted_at, due))
    return after


def _settled(quota: Quota, event: UseSettled) -> Quota:
    hold = quota.holds[event.generation_id]
    left = minus(minus(hold.amounts, event.used), event.returned)
    if event.final:
        holds = quota.holds.delete(event.generation_id)
        ended = hold.amounts
    else:
        holds = quota.holds.set(event.generation_id, hold._replace(amounts=left))
        ended = minus(hold.amounts, left)
    if hold.period != quota.key:
        return _moved(quota, quota.used, quota.held, holds)
    return _moved(quota, plus(quota.used, event.used), minus(quota.held, ended), holds)


def due(quota: Quota, now: datetime, most: int = SLICE, only: Collection[str] | None = None) -> tuple[QuotaEvent, ...]:
    """What time alone brought about at `now`, in order: holds that ended, then the period.

    `most` and `only`: see `domain.kernel.work.Due`.
    """
    if quota.next_due > now:
        return ()
    if only is not None:
        ended = [(id_, hold) for id_ in only if (hold := quota.holds.get(id_)) and hold.expires_at <= now]
    else:
        ended = list(islice(quota.holds.ended(now), most))
    events: list[QuotaEvent] = [UseExpired(generation_id=id_, amounts=hold.amounts) for id_, hold in ended]
    if only is None and len(events) < most and quota.period and quota.period.end <= now:
        events.append(PeriodEnded(key=quota.period.key, used=quota.used, then=quota.idle_key))
    return tuple(events)


def running(quota: Quota, every: Every, zone: str, now: datetime) -> Period:
    """The period at `now`: the one that runs, else the one that would begin with the next use. Not for `total`.

    A restart marks the keys since, so that a month that is begun again is another period than it was before.
    """
    if quota.period is not None:
        return quota.period
    period = period_of(every, now, zone, quota.ended)
    start = max(period.start, quota.restarted_at) if quota.restarted_at else period.start
    return period._replace(key=period.key + quota.idle_key, start=start)


def begun(quota: Quota, every: Every, zone: str, now: datetime) -> tuple[PeriodStarted, ...]:
    """The start of the period at `now` where one is needed and none runs; written with the first use in it."""
    if every is Every.TOTAL or quota.period is not None:
        return ()
    period = running(quota, every, zone, now)
    return (PeriodStarted(key=period.key, start=period.start, end=period.end),)


def begin(work: Work, stream: str, quota: Quota, every: Every, zone: str) -> str:
    """Start the period of the quota on a stream where one is needed and none runs; returns the key that runs then."""
    for started in begun(quota, every, zone, work.now):
        work.emit(stream, started)
        return started.key
    return quota.key


def restarted(quota: Quota, now: datetime) -> PeriodEnded:
    """Ends the current period because the kind of period changes: use is 0 again from `now`."""
    restarts = int(quota.idle_key[1:] or 0) + 1
    return PeriodEnded(key=quota.key, used=quota.used, at=now, then=f".{restarts}")


def fits(quota: Quota, more: Amounts) -> None:
    """Refuse use whose sum the stores could not hold. Raises TotalTooLarge."""
    used, held = quota.used, quota.held
    for what, amount in more.items():  # without calls: every generation passes here five times
        if used.get(what, 0) + held.get(what, 0) + amount > MAX_TOTAL:
            raise TotalTooLarge(what="used or held of one limit", limit=MAX_TOTAL)


def plus(one: Amounts, more: Amounts) -> Amounts:
    """The sum, by what is counted."""
    if not more:
        return one
    total = dict(one)
    for what, amount in more.items():
        total[what] = total.get(what, 0) + amount
    return total


def minus(one: Amounts, less: Amounts) -> Amounts:
    """The difference, by what is counted; never below zero. Units with nothing left are removed."""
    if not less:
        return one
    rest = dict(one)
    for what, amount in less.items():
        left = rest.get(what, 0) - amount
        if left > 0:
            rest[what] = left
        else:
            rest.pop(what, None)
    return rest


def kind(initial: Any, evolve: Callable[[Any, Any], Any]) -> StreamKind:
    """The kind of a stream whose state has a `quota`."""
    return StreamKind(
        initial=initial,
        evolve=evolve,
        next_due=attrgetter("quota.next_due"),
        due=lambda state, now, most=SLICE, only=None: due(state.quota, now, most, only),
        entries=lambda state: len(state.quota.holds) + len(getattr(state, "members", ())),
        schema=1,
        co_expiring_streams=lambda event, _state: (
            (generation_stream(event.generation_id),) if isinstance(event, UseExpired) else ()
        ),
        ended_id=lambda event: event.generation_id if isinstance(event, UseExpired) else "",
    )


MODULE = Module(events=EVENTS)
