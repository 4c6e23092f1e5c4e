"""A state of any kind comes back from its bytes as it was, whatever is nested in it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.domain import timeless
from domain.kernel.holds import Holds
from domain.periods import NEVER
from domain.registry import SCRIP
from infra.log.snapshots import decode_state, encode_state


class Colour(StrEnum):
    """A named value."""

    RED = "red"
    BLUE = "blue"


class Slice(NamedTuple):
    """The innermost part."""

    name: str
    amount: int
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """As events are."""

    colour: Colour
    words: tuple[str, ...] = ()


class Hold(NamedTuple):
    """What a map holds, with parts of its own and a map inside."""

    amount: int
    parts: tuple[Slice, ...]
    inner: dict[str, Slice]
    said: Said | None = None
    expires_at: datetime = NEVER


class State(NamedTuple):
    """Everything that states are made of."""

    holds: Holds[Hold] = Holds()
    counts: dict[str, int] = {}  # noqa: RUF012 - never changed
    limits: dict[str, int | None] = {}  # noqa: RUF012 - never changed
    seen: frozenset[str] = frozenset()
    by_colour: dict[Colour, tuple[Slice, ...]] = {}  # noqa: RUF012 - never changed
    next_due: datetime = NEVER


_names = st.text(max_size=8)
_amounts = st.integers(-(10**15), 10**15)
_times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
_slices = st.builds(Slice, _names, _amounts, st.none() | _times | st.just(NEVER))
_said = st.builds(Said, colour=st.sampled_from(Colour), words=st.lists(_names, max_size=2).map(tuple))


def _maps(keys: st.SearchStrategy[Any], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(keys, values, max_size=3)


_parts = st.lists(_slices, max_size=3).map(tuple)
_holds = st.builds(Hold, _amounts, _parts, _maps(_names, _slices), st.none() | _said, _times)
_states = st.builds(
    State,
    _maps(_names, _holds).map(Holds.of),
    _maps(_names, _amounts),
    st.dictionaries(_names, st.none() | _amounts, max_size=3),
    st.frozensets(_names, max_size=3),
    _maps(st.sampled_from(Colour), _parts),
    _times,
)


KIND = timeless(State(), lambda state, _event: state, lambda _state: 1)


@given(_states)
def test_a_state_comes_back_as_it_was(state: State) -> None:
    found = decode_state(KIND, encode_state(state))
    assert found == state
    assert [type(part) for part in found] == [Holds, dict, dict, frozenset, dict, datetime]
    for hold in found.holds.values():
        assert (type(hold), type(hold.inner)) == (Hold, dict)
        assert hold.said is None or type(hold.said) is Said
        assert all(type(part) is Slice for part in (*hold.parts, *hold.inner.values()))
    assert all(type(colour) is Colour for colour in found.by_colour)


def test_a_state_of_another_shape_is_refused() -> None:
    hold: Any
    for hold in (("no", "hold"), 5, Hold(1, (), {}, said="red")):  # type: ignore[arg-type]
        with pytest.raises(msgspec.DecodeError):
            decode_state(KIND, encode_state(State(holds=Holds({"one": hold}))))
    with pytest.raises(msgspec.DecodeError):
        decode_state(KIND, encode_state(Slice("a", 1, None)))


@pytest.mark.parametrize("start", SCRIP.kinds)
def test_every_kind_of_state_can_be_kept(start: str) -> None:
    kind = SCRIP.kinds[start]
    initial = kind.initial
    assert decode_state(kind, encode_state(initial)) == initial
    assert type(decode_state(kind, encode_state(initial))) is type(initial)


def test_times_to_the_microsecond() -> None:
    state = State(next_due=NEVER - timedelta(microseconds=1))
    assert decode_state(KIND, encode_state(state)) == state
