"""Who waits for a stream: by hand, without threads or clocks."""

from concurrent.futures import Future
from math import inf
from typing import Any

from infra.writer.batch import Unit
from infra.writer.held_up import HeldUp
from infra.writer.waiting import Waiting
from tests.infra.writer.ledger_kit import debit, submission

A, B = ("acme", "a"), ("acme", "b")


def waiting(deadline: float = 1_000.0) -> Waiting:
    future: Future[Any] = Future()
    return Waiting(Unit([submission(debit("d"))]), future, None, deadline)


def test_one_goes_for_the_next_slice_and_the_others_wait_until_it_is_done() -> None:
    held, first, second, third = HeldUp(), waiting(), waiting(), waiting()
    held.put(first, A, 10.0)
    held.put(second, A, 99.0)  # it has found nothing written since, and so moves nothing
    assert (held.take(9.9), held.next_at, held.resting(), held.size) == ([], 10.0, {A}, 2)
    assert (held.take(10.0), held.take(10.0), held.next_at, held.resting(), held.size) == ([first], [], inf, set(), 1)
    held.put(third, A, 99.0)
    held.put(first, A, 20.0)  # a slice was written, and more is due
    assert (held.take(19.9), held.next_at, held.size) == ([], 20.0, 3)
    assert held.take(20.0) == [first]
    assert held.ended(first) == [second, third]
    assert (bool(held), held.size, held.ended(first)) == (False, 0, [])


def test_streams_do_not_wait_for_each_other() -> None:
    held, one, other = HeldUp(), waiting(), waiting()
    held.put(one, A, 10.0)
    held.put(other, B, inf)
    assert held.take(50.0) == [one]
    assert held.resting() == {B}
    assert held.free(B) == [other]
    assert held.first_of(one) == A


def test_who_is_late_is_told_and_keeps_nobody_waiting() -> None:
    held, late, patient = HeldUp(), waiting(5.0), waiting()
    held.put(late, A, 10.0)
    held.put(patient, A, 10.0)
    assert (held.late(4.0), held.late(6.0), held.late(6.0), held.size) == ([], [late], [], 1)
    assert held.take(10.0) == [patient]
    held.put(waiting(7.0), B, 10.0)
    assert len(held.late(8.0)) == 1
    assert held.resting() == set()
