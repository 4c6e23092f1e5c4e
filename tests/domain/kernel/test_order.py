"""An order is a sorted list, of which a change copies one block and looks at few entries."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.kernel.order import BLOCK, Order

MANY = 100_000


class ByName(Order[tuple[str, int]]):
    """Sorted by a key."""

    __slots__ = ()
    key = staticmethod(lambda entry: entry[0])


class SortedListMachine(RuleBasedStateMachine):
    """Beside a list that is sorted, from none to many entries and back; every old version stays as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.order: Order[int] = Order()
        self.expected: set[int] = set()
        self.older: list[tuple[Order[int], list[int]]] = []

    @rule(entry=st.integers(0, 5_000))
    def add(self, entry: int) -> None:
        if entry not in self.expected:
            self.order = self.order.add(entry)
            self.expected.add(entry)

    @rule(first=st.integers(0, 5_000), count=st.integers(1, 900), step=st.sampled_from([-7, 1, 3]))
    def add_many(self, first: int, count: int, step: int) -> None:
        for entry in range(first, first + count * step, step):
            self.add(entry)

    @rule(which=st.integers(0, 10_000))
    def remove(self, which: int) -> None:
        if self.expected:
            entry = sorted(self.expected)[which % len(self.expected)]
            self.order = self.order.remove(entry)
            self.expected.remove(entry)

    @rule(which=st.integers(0, 10_000), count=st.integers(1, 900), step=st.sampled_from([1, 5]))
    def remove_many(self, which: int, count: int, step: int) -> None:
        for entry in sorted(self.expected)[which % (len(self.expected) + 1) :: step][:count]:
            self.order = self.order.remove(entry)
            self.expected.remove(entry)

    @rule(entry=st.integers(0, 5_000))
    def what_is_not_there_cannot_be_removed(self, entry: int) -> None:
        if entry not in self.expected:
            with pytest.raises(KeyError):
                self.order.remove(entry)

    @rule()
    def keep(self) -> None:
        self.older.append((self.order, sorted(self.expected)))

    @invariant()
    def is_the_sorted_list(self) -> None:
        entries = sorted(self.expected)
        assert list(self.order) == entries
        assert len(self.order) == len(entries)
        assert self.order == Order[int].of(entries)
        assert self.order[:3] == tuple(entries[:3])
        if entries:
            assert self.order[0] == entries[0]
        blocks = self.order.blocks
        assert all(0 < len(block) <= BLOCK for block in blocks)
        assert len(blocks) <= 2 + 8 * len(entries) // BLOCK, "blocks that have become short are joined"

    def teardown(self) -> None:
        for order, entries in self.older:
            assert list(order) == entries


TestSortedList = SortedListMachine.TestCase


def test_a_key_orders_what_has_no_order() -> None:
    order = ByName.of([("b", 2), ("a", 1)])
    assert order == (("a", 1), ("b", 2))
    assert hash(order) == hash((("a", 1), ("b", 2)))
    assert list(order.add(("aa", 3))) == [("a", 1), ("aa", 3), ("b", 2)]
    assert repr(order) == "ByName.of([('a', 1), ('b', 2)])"
    with pytest.raises(KeyError):
        order.remove(("a", 9))


class Counted:
    """An entry that counts how often any is compared."""

    looks = 0

    def __init__(self, value: int) -> None:
        self.value = value

    def __lt__(self, other: "Counted") -> bool:
        Counted.looks += 1
        return self.value < other.value

    def __gt__(self, other: "Counted") -> bool:
        Counted.looks += 1
        return self.value > other.value

    def __eq__(self, other: object) -> bool:
        Counted.looks += 1
        return isinstance(other, Counted) and self.value == other.value

    def __hash__(self) -> int:
        return self.value


def test_of_many_few_are_looked_at() -> None:
    order = Order[Counted].of([Counted(number * 2) for number in range(MANY)])
    for value in (1, MANY, 2 * MANY + 1):
        before = Counted.looks
        more = order.add(Counted(value))
        less = order.remove(Counted(value - value % 2)) if value < MANY * 2 else order
        assert (len(more), len(less) < len(order)) == (MANY + 1, value < MANY * 2)
        assert Counted.looks - before < 60
