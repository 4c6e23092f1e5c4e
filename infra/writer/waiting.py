"""Who waits for the writer, and how they are answered."""

from asyncio import AbstractEventLoop
from asyncio import Future as AsyncFuture
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from infra.turns import OURS, Caller
from infra.writer.batch import Result, Unit

AT_ONCE = 8  # answers in one round of an event loop


class Waiting:
    """Somebody who waits for an answer, on an event loop or in a thread, until `deadline` (monotonic seconds).

    The work may be done in parts, unless it is atomic: `results` are those of what is done.
    """

    __slots__ = ("caller", "deadline", "future", "loop", "results", "size", "whole", "work")

    def __init__(
        self, work: Unit, future: "Future[Any] | AsyncFuture[Any]", loop: AbstractEventLoop | None, deadline: float
    ) -> None:
        self.work = work
        self.future = future
        self.loop = loop
        self.deadline = deadline
        submissions = work.submissions
        self.caller: Caller = (submissions[0].org, submissions[0].caller) if submissions else OURS
        self.size = len(submissions)  # of what is not done
        self.whole = work.atomic
        self.results: Sequence[Result] = ()  # a tuple while it is empty: nearly always it stays so

    def part(self, size: int) -> Unit:
        """The next `size` submissions."""
        done = len(self.results)
        whole = not done and size == self.size
        return self.work if whole else Unit(self.work.submissions[done : done + size], self.work.atomic)

    def done(self, results: Sequence[Result]) -> bool:
        """Add what the next submissions came to; returns whether that was all."""
        self.results = [*self.results, *results]
        self.size -= len(results)
        return not self.size


def deliver(pairs: Sequence[tuple[Waiting, Any]]) -> None:
    """Answer everybody: threads at once, each event loop with a single call."""
    loops: dict[AbstractEventLoop, list[tuple[Any, Any]]] = {}
    for item, result in pairs:
        if item.loop is None:
            resolve([(item.future, result)])
        else:
            loops.setdefault(item.loop, []).append((item.future, result))
    for loop, answers in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve_in_rounds, loop, answers)


def _resolve_in_rounds(loop: AbstractEventLoop, answers: Sequence[tuple["AsyncFuture[Any]", Any]]) -> None:
    """Answer a few in each round of the loop: what each does with its answer holds up all others."""
    resolve(answers[:AT_ONCE])
    if len(answers) > AT_ONCE:
        loop.call_soon(_resolve_in_rounds, loop, answers[AT_ONCE:])


def resolve(answers: Iterable[tuple["AsyncFuture[Any] | Future[Any]", Any]]) -> None:
    """Answer those who still wait; an exception is raised where the answer is awaited."""
    for future, result in answers:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
