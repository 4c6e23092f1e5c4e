"""A closed loop of work that is begun and ended through one writer."""

from collections import deque
from concurrent.futures import Future
from threading import Event
from time import monotonic
from typing import Any

from benchmarks.work import Reservations, Work
from infra.ids import record_id
from infra.writer.batch import Unit
from infra.writer.submission import Outcome, Submission
from infra.writer.waiting import Waiting
from infra.writer.writer import Writer


class Load:
    """Begins and ends work in turn for every user; each answer submits the next command, so all stay in flight."""

    def __init__(self, writer: Writer, users: int, organisations: int = 1, work: Work | None = None) -> None:
        self._writer = writer
        self._orgs = [f"bench{number}" for number in range(organisations)]
        self._users = users
        self._work = work or Reservations(users)
        self._turn = 0
        self._begun: deque[tuple[int, str]] = deque()
        self._until = 0.0
        self._left = 0
        self._answered = 0
        self._in_flight = 0
        self._failure: Exception | None = None
        self._idle = Event()
        prepared = [_submission(org, command) for org, command in self._work.prepared(self._orgs)]
        for start in range(0, len(prepared), 500):
            for result in writer.submit(prepared[start : start + 500]).result():
                if not isinstance(result, Outcome) or result.refusal:
                    raise RuntimeError(f"the benchmark could not be prepared: {result}")

    def rate(self, seconds: float, waiting: int) -> float:
        """Commands a second over some seconds, each with a key of its own; raises RuntimeError where one is refused."""
        return self._run(waiting, until=monotonic() + seconds, commands=2**62)

    def run(self, commands: int, waiting: int = 1000) -> float:
        """Run so many commands; returns commands a second."""
        return self._run(min(waiting, commands), until=float("inf"), commands=commands)

    def _run(self, waiting: int, until: float, commands: int) -> float:
        started = monotonic()
        self._until, self._left, self._answered, self._in_flight = until, commands - waiting, 0, waiting
        self._failure = None
        self._idle.clear()
        self._writer.enqueue([self._next() for _ in range(waiting)])
        self._idle.wait()
        if self._failure:
            raise self._failure
        return self._answered / (monotonic() - started)

    def _next(self) -> Waiting:
        begun = ""
        if self._turn % 2 and self._begun:
            index, id_ = self._begun.popleft()
            command = self._work.end(index, id_)
        else:
            index, begun = self._turn // 2 % self._users, record_id("w")
            command = self._work.begin(index, begun)
        self._turn += 1
        submission = _submission(self._orgs[index % len(self._orgs)], command)
        return Waiting(Unit((submission,)), _Slot(self, index, begun), None, float("inf"))

    def answered(self, index: int, begun: str, failure: Exception | None) -> None:
        """Called by the writer's thread for each answer; `begun` is the id of what was begun, empty at an end."""
        self._failure = self._failure or failure
        if begun:
            self._begun.append((index, begun))
        self._answered += 1
        if monotonic() < self._until and self._left > 0 and not self._failure:
            self._left -= 1
            self._writer.enqueue([self._next()])
        else:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()


def _submission(org: str, command: Any) -> Submission:
    return Submission(org=org, command=command, actor="worker:bench", caller="worker:bench", key=record_id())


class _Slot(Future[Any]):
    """Stands where a future would, at less cost: the load is to be measured, not its waiting."""

    def __init__(self, load: Load, index: int, begun: str) -> None:
        # The parent's condition variable is what costs; nothing here waits on one.
        self._load = load
        self._index = index
        self._begun = begun

    def done(self) -> bool:
        return False

    def set_result(self, results: Any) -> None:
        refusal = results[0].refusal
        self._load.answered(self._index, self._begun, RuntimeError(refusal.detail) if refusal else None)

    def set_exception(self, error: BaseException | None) -> None:
        self._load.answered(self._index, self._begun, RuntimeError(f"no answer: {error!r}"))
