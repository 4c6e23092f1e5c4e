"""Who is next: by table, without threads or clocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.turns import Caller
from infra.writer.fair_queue import LITTLE, TURN, FairQueue, Taken
from infra.writer.submission import Overloaded

PLENTY = 10**9
A, A2, B, C = ("a", "x"), ("a", "y"), ("b", "x"), ("c", "x")


@dataclass(slots=True)
class One:
    name: str
    caller: Caller
    size: int = 1
    whole: bool = False


def singles(name: str, caller: Caller, count: int) -> list[One]:
    return [One(f"{name}{number}", caller) for number in range(count)]


def queue_of(*items: One) -> FairQueue[One]:
    queue: FairQueue[One] = FairQueue()
    queue.put(items, PLENTY)
    return queue


def told(taken: Taken[One]) -> str:
    """The names, each with how much is taken of it where that is not one."""
    return " ".join(item.name if size == 1 else f"{item.name}*{size}" for item, size in taken.items)


@pytest.mark.parametrize(
    ("waiting", "most", "expected"),
    [
        (singles("a", A, 4), 3, ["a0 a1 a2", "a3"]),
        ([*singles("a", A, 2), One("b", B)], 9, ["a0 a1 b"]),
        ([One("a", A, 1_000), One("b", B)], 100, ["b a*99", "a*100"]),
        ([One("a", A, 1_000), One("b", B, 20), One("c", C)], 100, ["c b*20 a*79", "a*100"]),
        # A turn after the other, also within an organisation, and who has more than a turn waits for the next one.
        (
            [*singles("a", A, TURN + 1), One("y", A2), One("b", B)],
            99,
            [" ".join([*(f"a{number}" for number in range(TURN)), "b", "y", f"a{TURN}"])],
        ),
        # Of two who have much, whoever was not first is first the next time.
        ([One("a", A, 500), One("b", B, 500)], 2 * TURN, [f"a*{TURN} b*{TURN}", f"b*{TURN} a*{TURN}"]),
        # What is done as a whole comes alone, but where nobody else waits.
        ([One("a", A, 100, whole=True), One("b", B)], 50, ["a*100", "b"]),
        ([One("b", B), One("a", A, 100, whole=True), One("c", C)], 50, ["b c", "a*100"]),
        ([One("a", A, 100, whole=True), One("a2", A)], 500, ["a*100 a2"]),
        ([One("a1", A), One("a", A, 100, whole=True), One("y", A2)], 500, ["a1 y", "a*100"]),
        ([One("a", A, TURN, whole=True), One("b", B)], 500, [f"a*{TURN} b"]),
        ([One("none", ("", ""), 0), One("a", A)], 5, ["none*0 a"]),
    ],
)
def test_who_is_next(waiting: Sequence[One], most: int, expected: list[str]) -> None:
    queue = queue_of(*waiting)
    for batch in expected:
        taken = queue.take(most)
        assert told(taken) == batch
        for item, size in taken.items:
            item.size -= size
        queue.back([item for item, _ in taken.items if item.size], {item.caller for item, _ in taken.items})


@pytest.mark.parametrize(
    ("waiting", "least", "caller"),
    [
        (singles("a", A, 500), TURN, A),
        ([One("a", A, 500), One("b", B)], 1 + TURN, None),
        ([*singles("a", A, 500), *singles("b", B, 500)], 3 * TURN, None),
        ([*singles("a", A, 500), *singles("y", A2, 500)], 2 * TURN, None),
        ([One("a", A, 500, whole=True), One("b", B)], 100, A),
    ],
)
def test_how_much_is_done_in_any_case(waiting: Sequence[One], least: int, caller: Caller | None) -> None:
    taken = queue_of(*waiting).take(100)
    assert (taken.least, taken.caller) == (least, caller)


def test_who_was_not_reached_is_next_and_nobody_overtakes_his_own() -> None:
    queue = queue_of(*singles("a", A, 3), *singles("b", B, 2), One("c", C))
    taken = queue.take(9)
    assert told(taken) == "a0 a1 a2 b0 b1 c"
    queue.put([One("a3", A), One("b2", B)], PLENTY)
    queue.back([item for item, _ in taken.items[1:]], {A})
    assert told(queue.take(9)) == "b0 b1 b2 c a1 a2 a3"
    assert not queue
    assert queue.size == len(queue) == 0


def test_whether_others_wait() -> None:
    queue = queue_of(One("a", A))
    assert not queue.others(A)
    assert queue.others(A2)
    assert queue.others(B)
    queue.put([One("y", A2)], PLENTY)
    assert queue.others(A)
    assert not FairQueue[One]().others(A)


def test_a_full_queue_has_room_for_those_who_have_little() -> None:
    most = 20 * LITTLE
    queue = queue_of(One("a", A, most))

    def finds_room(caller: Caller, size: int) -> bool:
        before = queue.size
        try:
            queue.put([One("more", caller, size)], most)
        except Overloaded:
            assert queue.size == before
            return False
        return True

    assert not finds_room(A, 1)
    assert not finds_room(A2, LITTLE + 1)
    assert not finds_room(B, LITTLE + 1)
    for number in range(5):
        assert finds_room(("a", f"login{number}"), LITTLE)
    assert not finds_room(A2, 1), "an organisation fills a part of the reserve"
    for number in range(5):
        assert finds_room((f"org{number}", "x"), LITTLE)
    assert not finds_room(C, 1)


def test_items_are_taken_in_all_or_none() -> None:
    queue = queue_of()
    with pytest.raises(Overloaded):
        queue.put([One("a", A, 3), One("b", B, 3)], 5)
    assert not queue


CALLERS = st.sampled_from([A, A2, B, C])
ITEMS = st.builds(One, st.just("?"), CALLERS, st.integers(0, 3 * TURN), st.booleans())


@given(st.lists(st.lists(ITEMS, max_size=5), max_size=8), st.integers(1, 4 * TURN), st.randoms(use_true_random=False))
def test_all_comes_once_in_each_callers_order(rounds: list[list[One]], most: int, random: object) -> None:
    """However batches are cut, everybody's work is done whole, in order, and the queue knows how much waits."""
    queue: FairQueue[One] = FairQueue()
    waiting: dict[Caller, list[tuple[One, int]]] = {}
    done: dict[Caller, list[tuple[One, int]]] = {}
    coming = [
        [One(str(number), each.caller, each.size, each.whole) for number, each in enumerate(one)] for one in rounds
    ]
    batches = 0
    while coming or queue:
        for item in coming.pop() if coming else ():
            waiting.setdefault(item.caller, []).extend((item, number) for number in range(item.size))
            queue.put([item], PLENTY)
        assert queue.size == sum(item.size for item in queue)
        taken = queue.take(most)
        left = random.randint(taken.least, 10 * TURN)  # type: ignore[attr-defined]
        served: set[Caller] = set()
        for item, size in taken.items:
            now = size if item.whole and left > 0 else max(0, min(left, size))
            left -= now
            first = len([one for one, _ in done.get(item.caller, ()) if one is item])
            done.setdefault(item.caller, []).extend((item, first + number) for number in range(now))
            item.size -= now
            if now:
                served.add(item.caller)
        queue.back([item for item, _ in taken.items if item.size], served)
        batches += 1
        assert batches < 1_000
    assert {caller: work for caller, work in done.items() if work} == {c: w for c, w in waiting.items() if w}


def test_who_rests_has_no_turn_and_keeps_its_place_among_its_own() -> None:
    queue = queue_of(*singles("a", A, 2), One("y", A2), One("b", B))
    queue.rest(A, 10.0)
    assert (queue.wake(9.0), queue.waits(A), queue.size, len(queue)) == (10.0, True, 4, 4)
    queue.put(singles("c", A, 1), PLENTY)
    queue.back([One("first", A)])
    assert told(queue.take(9)) == "y b"
    assert (bool(queue), queue.size, queue.others(B)) == (False, 4, False)
    queue.put([One("z", A2)], PLENTY)
    assert queue.wake(10.0) == inf
    assert told(queue.take(9)) == "z first a0 a1 c0"


def test_what_waits_of_who_rests_counts_for_its_organisation() -> None:
    most = 20 * LITTLE
    queue = queue_of(One("a", A, most), One("b", B, 4 * LITTLE))
    queue.rest(A, 10.0)
    queue.put([One("y", A2, LITTLE)], most)
    with pytest.raises(Overloaded):
        queue.put([One("y", A2, 1)], most)
    queue.put([One("c", C, LITTLE)], most)
