"""Read model: what open generations hold of storage, groups and budgets; and how events change what is used of them."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol, assert_never, get_args

from domain.quotas import events
from domain.quotas.events import Amounts
from domain.quotas.quota import minus, plus
from projections.facts import CannotApply, Fact
from projections.read_model import EVERY, Needed, ReadModel, State

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


Ending = events.UseSettled | events.UseReleased | events.UseExpired | events.UseExtended  # what needs the hold's row


class Counted(Protocol):
    """A row with use in periods; where none runs, `period_key` is `idle_key`."""

    period_key: str
    idle_key: str
    period_start: datetime | None
    period_end: datetime | None


def hold_key(fact: Fact, generation_id: str) -> UseHoldKey:
    """The key of a generation's hold on the stream of `fact`."""
    return fact.org, f"{fact.kind}/{fact.id}", generation_id


def use_after(  # noqa: PLR0911 - one plain branch for each event
    state: State, fact: Fact, period: str, used: Amounts, held: Amounts
) -> tuple[Amounts, Amounts]:
    """What is used and held after an event; `period` is the key of the one that runs, empty without periods.

    Raises CannotApply where the hold is unknown.
    """
    event: events.QuotaEvent = fact.event
    match event:
        case events.UseHeld(amounts=amounts):
            return used, plus(held, amounts)
        case events.UseSettled():
            hold = _hold(state, fact, event)
            freed = minus(hold.amounts, _left(hold, event))
            return (plus(used, event.used), minus(held, freed)) if hold.period == period else (used, held)
        case events.UseReleased(amounts=amounts) | events.UseExpired(amounts=amounts):
            return used, minus(held, amounts) if _hold(state, fact, event).period == period else held
        case events.UseExtended(grown=grown):
            return used, plus(held, grown) if _hold(state, fact, event).period == period else held
        case events.UseCounted(amounts=amounts):
            return plus(used, amounts), held
        case events.UseGivenBack(amounts=amounts):
            return minus(used, amounts) if event.period == period else used, held
        case events.PeriodStarted() | events.PeriodEnded():
            return {}, {}
        case _:
            assert_never(event)


def amount_after(state: State, fact: Fact, period: str, what: str, used: int, held: int) -> tuple[int, int]:
    """The same for one thing that is counted."""
    after = use_after(state, fact, period, {what: used}, {what: held})
    return after[0].get(what, 0), after[1].get(what, 0)


def turn(row: Counted, event: events.QuotaEvent) -> None:
    """Begin or end a row's period, where that is what the event says."""
    if isinstance(event, events.PeriodStarted):
        row.period_key, row.period_start, row.period_end = event.key, event.start, event.end
    elif isinstance(event, events.PeriodEnded):
        row.idle_key = row.idle_key if event.at is None else event.then
        row.period_key, row.period_start, row.period_end = row.idle_key, None, None


def needs(needed: Needed, fact: Fact) -> None:
    """The row of the hold that an event is about."""
    if isinstance(fact.event, Ending):
        needed.row(USE_HOLDS, hold_key(fact, fact.event.generation_id))


def fold(state: State, fact: Fact) -> None:
    """Raises CannotApply where the hold is unknown."""
    rows, event = state.rows(USE_HOLDS), fact.event
    if isinstance(event, events.UseHeld):
        key = hold_key(fact, event.generation_id)
        rows.begin(key, UseHold(*key, event.amounts, _period(state, fact), event.expires_at, fact.position))
        return
    hold, key = _hold(state, fact, event), hold_key(fact, event.generation_id)
    if isinstance(event, events.UseExtended):
        hold.amounts, hold.expires_at = plus(hold.amounts, event.grown), event.expires_at
    elif isinstance(event, events.UseSettled) and not event.final:
        hold.amounts = _left(hold, event)
    else:
        rows.drop(key)
        return
    hold.position = fact.position
    rows.put(key, hold)


def _hold(state: State, fact: Fact, event: Ending) -> UseHold:
    key = hold_key(fact, event.generation_id)
    hold = state.rows(USE_HOLDS).get(key)
    if hold is None:
        raise CannotApply(fact.partition, fact.position, f"the hold of {event.generation_id} on {key[1]} is unknown")
    return hold


def _left(hold: UseHold, event: events.UseSettled) -> Amounts:
    return {} if event.final else minus(minus(hold.amounts, event.used), event.returned)


def _period(state: State, fact: Fact) -> str:
    """The key of the period that runs on a stream, from its own row; empty where that has none."""
    model = _with_periods(state.models, fact.kind)
    return state.rows(model)[fact.org, fact.id].period_key if model is not None else ""


@lru_cache(maxsize=100)
def _with_periods(models: tuple[ReadModel[Any], ...], kind: str) -> ReadModel[Counted] | None:
    return next((model for model in models if kind in model.events and "period_key" in model.table.columns), None)


USE_HOLDS = ReadModel(
    name="use_holds",
    row=UseHold,
    key=("org", "stream", "generation_id"),
    events={EVERY: (events.UseHeld, *get_args(Ending))},
    fold=fold,
    needs=needs,
    deletes=True,
    fillfactor=70,
)
