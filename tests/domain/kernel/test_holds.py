"""Holds behave like a map that is walked for what has ended, and walk nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

import immutables
import pytest
import rpds
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.kernel import holds as module
from domain.kernel.holds import FEW, Holds
from domain.kernel.order import BLOCK
from domain.periods import NEVER

START = datetime(2026, 3, 1, tzinfo=UTC)
MANY = 20_000
MAPS = {  # that of the Python that runs this, and that of Python 3.14
    "immutables": (immutables.Map, immutables.Map.set, immutables.Map.delete),
    "rpds": (rpds.HashTrieMap, rpds.HashTrieMap.insert, rpds.HashTrieMap.remove),
}


@pytest.fixture(autouse=True, scope="module", params=MAPS)
def many(request: pytest.FixtureRequest) -> Iterator[None]:
    """All of this with each map."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("Many", "with_entry", "without_entry"), MAPS[request.param], strict=True):
            patch.setattr(module, name, value)
        yield


class Hold(NamedTuple):
    """A hold that may also stand for another one of the same end."""

    expires_at: datetime
    amount: int = 1


class Counted:
    """A hold that counts how often any is looked at."""

    looks = 0

    def __init__(self, expires_at: datetime) -> None:
        self._expires_at = expires_at

    @property
    def expires_at(self) -> datetime:
        Counted.looks += 1
        return self._expires_at


def after(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def agrees(holds: Holds[Hold], expected: dict[str, Hold], now: datetime) -> None:
    assert dict(holds.items()) == expected
    assert len(holds) == len(expected)
    assert holds.next_end == min((hold.expires_at for hold in expected.values()), default=NEVER)
    ended = sorted((hold.expires_at, id_) for id_, hold in expected.items() if hold.expires_at <= now)
    assert [(hold.expires_at, id_) for id_, hold in holds.ended(now)] == ended
    assert holds == Holds.of(expected)
    if holds._ends is not None:
        assert list(holds._ends) == sorted((hold.expires_at, id_) for id_, hold in expected.items())
        assert all(0 < len(block) <= BLOCK for block in holds._ends.blocks)
        assert len(holds._ends.blocks) <= 2 + 8 * len(expected) // BLOCK, "blocks that have become short are joined"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("span", [3, 5_000])
def test_they_are_a_map_in_the_order_of_its_ends(seed: int, span: int) -> None:
    """From none to two thousand and back, with many ends alike and with few."""
    chance = Random(seed)
    holds: Holds[Hold] = Holds()
    expected: dict[str, Hold] = {}
    for turn in range(6_000):
        growing = turn < 3_000
        if expected and chance.random() < (0.2 if growing else 0.7):
            id_ = chance.choice(list(expected)) if chance.random() < 0.5 else next(iter(expected))
            holds = holds.delete(id_)
            del expected[id_]
        else:
            old = list(expected)[:: len(expected) // 20 + 1]
            id_ = chance.choice(old) if old and chance.random() < 0.2 else f"h{turn}"
            expected[id_] = Hold(after(chance.randrange(span)), turn)
            holds = holds.set(id_, expected[id_])
        if turn % 97 == 0:
            agrees(holds, expected, after(chance.randrange(span)))
    while expected:
        id_ = chance.choice(list(expected))
        holds = holds.delete(id_)
        del expected[id_]
        if len(expected) % 61 == 0:
            agrees(holds, expected, after(span // 2))
    agrees(holds, {}, NEVER)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=30), st.integers(0, 4))
def test_a_few_are_walked_and_agree_too(steps: list[tuple[int, int]], now: int) -> None:
    holds: Holds[Hold] = Holds()
    expected: dict[str, Hold] = {}
    for number, end in steps:
        id_ = f"h{number}"
        if id_ in expected and end == 0:
            holds = holds.delete(id_)
            del expected[id_]
        else:
            expected[id_] = Hold(after(end))
            holds = holds.set(id_, expected[id_])
        agrees(holds, expected, after(now))


def test_an_older_version_stays_as_it_was() -> None:
    """A draft that is taken back goes on from the state before it."""
    expected = {f"h{number}": Hold(after(number)) for number in range(3 * BLOCK)}
    before = Holds.of(expected)
    later = before
    for number in range(0, 3 * BLOCK, 2):
        later = later.delete(f"h{number}").set(f"new{number}", Hold(after(number)))
    agrees(before, expected, after(BLOCK))


def test_what_is_not_there_cannot_be_deleted() -> None:
    for count in (0, 1, FEW, 2 * FEW):
        holds = Holds.of({f"h{number}": Hold(START) for number in range(count)})
        with pytest.raises(KeyError):
            holds.delete("other")


@contextmanager
def looks_at_most(count: int) -> Iterator[None]:
    before = Counted.looks
    yield
    assert Counted.looks - before <= count


def test_of_many_only_those_concerned_are_looked_at() -> None:
    holds = Holds.of({f"h{number}": Counted(after(100 + number)) for number in range(MANY)})
    with looks_at_most(0):
        assert list(holds.ended(after(50))) == []
        assert holds.next_end == after(100)
    with looks_at_most(2):
        more = holds.set("new", Counted(after(5)))
        assert more.next_end == after(5)
    with looks_at_most(2):
        assert more.delete("new").next_end == after(100)
    with looks_at_most(4):
        assert holds.set("h7", Counted(after(1))).next_end == after(1)  # one that is extended moves
    with looks_at_most(0):
        assert [id_ for id_, _ in holds.ended(after(102))] == ["h0", "h1", "h2"]
