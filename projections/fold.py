"""The fold of a partition's events into all read models: which rows they need, and what becomes of them. Pure."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from projections.facts import CannotApply, Fact
from projections.read_model import EVERY, Later, Needed, Needs, ReadModel, State

FOLD = 3  # raised whenever the same events would give other rows: older generations are then rebuilt

# What a fold raises where an event does not fit: a stream that is no address, a field that is not there.
_UNFIT = (ValueError, TypeError, AttributeError, AssertionError)


class _Concerned(NamedTuple):
    """The read models that an event is for, in the order of the list, and what those of them need."""

    models: tuple[ReadModel[Any], ...]
    needs: tuple[Needs, ...]


class _Concern(dict[tuple[str, type], _Concerned]):
    """Which read models an event is for, by the kind of its stream and its class.

    Raises TypeError for an event that no model of the kind knows. A kind that no model names passes (memberships).
    """

    def __init__(self, models: tuple[ReadModel[Any], ...]) -> None:
        super().__init__()
        self._models = models
        self._kinds = {kind for model in models for kind in model.events}

    def __missing__(self, key: tuple[str, type]) -> _Concerned:
        kind, event = key
        own = [model for model in self._models if event in model.events.get(kind, ())]
        if kind in self._kinds and not own:
            raise TypeError(f"{event.__name__} is no event of a stream {kind}")
        models = tuple(
            model for model in self._models if model in own or issubclass(event, model.events.get(EVERY, ()))
        )
        found = self[key] = _Concerned(models, tuple(model.needs for model in models if model.needs is not None))
        return found


_concern = lru_cache(maxsize=8)(_Concern)


def needs(state: State, facts: Iterable[Fact]) -> Needed:
    """The keys of stored rows that events need and `state` does not have in memory. Raises CannotApply."""
    needed, concern = Needed(state), _concern(state.models)
    for fact in facts:
        try:
            for need in concern[fact.kind, type(fact.event)].needs:
                need(needed, fact)
        except _UNFIT as error:
            raise CannotApply(fact.partition, fact.position, str(error)) from error
    return needed


def fold(state: State, facts: Iterable[Fact]) -> None:
    """Fold events, in the order of their positions, into rows.

    Raises CannotApply at the first one that cannot be; `state` is then half done and must be thrown away.
    """
    concern = _concern(state.models)
    for fact in facts:
        try:
            for model in concern[fact.kind, type(fact.event)].models:
                try:
                    model.fold(state, fact)
                except Later:
                    state.later.append((model, fact))
        except _UNFIT as error:
            raise CannotApply(fact.partition, fact.position, str(error)) from error


def fold_later(state: State, later: Sequence[tuple[ReadModel[Any], Fact]]) -> None:
    """Fold events into read models that missed a row, now that it can be there. Raises CannotApply."""
    for model, fact in later:
        try:
            model.fold(state, fact)
        except _UNFIT as error:
            raise CannotApply(fact.partition, fact.position, str(error)) from error
