"""Read model: what open generations hold of storage, groups and budgets; and what an event of these comes to."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, assert_never

from domain.quotas.events import (
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
from domain.quotas.quota import minus, plus
from projections.facts import CannotApply, Fact
from projections.read_model import ReadModel
from projections.rows import Rows

UseHoldKey = tuple[str, str, str]  # organisation, stream, generation id


@dataclass(slots=True)
class UseHold:
    """What open generations hold of storage, groups and budgets: one row for each generation and stream
    (`storage/{user}`, `group/{id}`, `budget/{user}`), gone when it ends. `amounts` is by what is counted (bytes, image,
    video, tokens.…, usd in micro-USD); `period` is the key of the period that it counts in, empty where there are none.
    """

    org: str
    stream: str
    generation_id: str
    amounts: Amounts
    period: str
    expires_at: datetime
    position: int


USE_HOLDS = ReadModel(name="use_holds", row=UseHold, key=("org", "stream", "generation_id"), fillfactor=70)

Ending = UseSettled | UseReleased | UseExpired | UseExtended  # what needs the hold's row


class Counted(Protocol):
    """A row with use in periods; where none runs, `period_key` is `idle_key`."""

    period_key: str
    idle_key: str
    period_start: datetime | None
    period_end: datetime | None


class Change(NamedTuple):
    """How an event changes use and holds of the current period; `anew`: both begin with nothing first."""

    used: Amounts = {}  # noqa: RUF012 - never changed in place
    given_back: Amounts = {}  # noqa: RUF012 - never changed in place
    held: Amounts = {}  # noqa: RUF012 - never changed in place
    freed: Amounts = {}  # noqa: RUF012 - never changed in place
    anew: bool = False

    def amounts(self, used: Amounts, held: Amounts) -> tuple[Amounts, Amounts]:
        """What is used and held afterwards."""
        if self.anew:
            return {}, {}
        return minus(plus(used, self.used), self.given_back), minus(plus(held, self.held), self.freed)

    def amount(self, what: str, used: int, held: int) -> tuple[int, int]:
        """The same for one thing that is counted."""
        after = self.amounts({what: used}, {what: held})
        return after[0].get(what, 0), after[1].get(what, 0)


NO_CHANGE = Change()


def hold_key(fact: Fact, generation_id: str) -> UseHoldKey:
    """The key of a generation's hold on the stream of `fact`."""
    return fact.org, f"{fact.kind}/{fact.id}", generation_id


def change(holds: Rows[UseHold], row: Counted | None, fact: Fact, event: QuotaEvent) -> Change:
    """Fold one event into the holds and the row's period, and return what it does to the row's amounts.

    `row` is none for what has no periods. Raises CannotApply where the hold is unknown.
    """
    key = row.period_key if row is not None else ""
    match event:
        case UseHeld(generation_id=generation, amounts=amounts):
            place = hold_key(fact, generation)
            holds.begin(place, UseHold(*place, amounts, key, event.expires_at, fact.position))
            return Change(held=amounts)
        case UseSettled() | UseReleased() | UseExpired() | UseExtended():
            return _later(holds, key, fact, event)
        case UseCounted(amounts=amounts):
            return Change(used=amounts)
        case UseGivenBack(amounts=amounts):
            return Change(given_back=amounts) if event.period == key else NO_CHANGE
        case PeriodStarted():
            if row is not None:
                row.period_key, row.period_start, row.period_end = event.key, event.start, event.end
            return Change(anew=True)
        case PeriodEnded():
            if row is not None:
                row.idle_key = row.idle_key if event.at is None else event.then
                row.period_key, row.period_start, row.period_end = row.idle_key, None, None
            return Change(anew=True)
        case _:
            assert_never(event)


def _later(holds: Rows[UseHold], key: str, fact: Fact, event: Ending) -> Change:
    place = hold_key(fact, event.generation_id)
    hold = holds.get(place)
    if hold is None:
        raise CannotApply(fact.partition, fact.position, f"the hold of {event.generation_id} on {place[1]} is unknown")
    current = hold.period == key
    match event:
        case UseSettled():
            left = {} if event.final else minus(minus(hold.amounts, event.used), event.returned)
            freed = minus(hold.amounts, left)
            if event.final:
                holds.drop(place)
            else:
                hold.amounts, hold.position = left, fact.position
                holds.put(place, hold)
            return Change(used=event.used, freed=freed) if current else NO_CHANGE
        case UseReleased(amounts=amounts) | UseExpired(amounts=amounts):
            holds.drop(place)
            return Change(freed=amounts) if current else NO_CHANGE
        case UseExtended(grown=grown):
            hold.amounts, hold.expires_at = plus(hold.amounts, grown), event.expires_at
            hold.position = fact.position
            holds.put(place, hold)
            return Change(held=grown) if current else NO_CHANGE
        case _:
            assert_never(event)
