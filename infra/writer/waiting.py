"""Who waits for the writer, and how they are answered."""

from asyncio import AbstractEventLoop
from asyncio import Future as AsyncFuture
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from infra.writer.batch import Result, Unit


@dataclass(slots=True)
class Waiting:
    """Somebody who waits for an answer, on an event loop or in a thread, until `deadline` (monotonic seconds)."""

    work: Unit
    future: "Future[Any] | AsyncFuture[Any]"
    loop: AbstractEventLoop | None
    deadline: float
    results: list[Result] = field(default_factory=list)  # of what is done; `work` is the rest

    def done(self, results: Sequence[Result]) -> bool:
        """Add what the first submissions came to; returns whether those were all."""
        self.results += results
        if len(results) < self.size:
            self.work = Unit(self.work.submissions[len(results) :], self.work.atomic)
            return False
        return True

    @property
    def size(self) -> int:
        return len(self.work.submissions)


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
            loop.call_soon_threadsafe(resolve, answers)


def resolve(answers: Iterable[tuple["AsyncFuture[Any] | Future[Any]", Any]]) -> None:
    """Answer those who still wait; an exception is raised where the answer is awaited."""
    for future, result in answers:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
