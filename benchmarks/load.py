"""A closed loop of reserve and capture through one writer."""

from collections import deque
from concurrent.futures import Future
from threading import Event
from time import monotonic
from typing import Any

from domain.credits.capture import Capture
from domain.credits.grant import Grant
from domain.credits.reserve import Reserve
from infra.ids import new_id
from infra.writer.batch import Unit
from infra.writer.submission import Submission
from infra.writer.waiting import Waiting
from infra.writer.writer import Writer


class Load:
    """Reserve and capture in turn on every account; each answer submits the next command, so all stay in flight."""

    def __init__(self, writer: Writer, accounts: int, organisations: int = 1) -> None:
        self._writer = writer
        self._orgs = [f"bench{number}" for number in range(organisations)]
        self._addresses = [f"user:{new_id('u')}:credits" for _ in range(accounts)]
        self._turn = 0
        self._held: deque[tuple[int, str]] = deque()
        self._until = 0.0
        self._left = 0
        self._answered = 0
        self._in_flight = 0
        self._failure: Exception | None = None
        self._idle = Event()
        for start in range(0, accounts, 500):
            granted = [
                self._submission(
                    index, Grant(address=self._addresses[index], grant_id=new_id("g"), amount=10**12, source="purchase")
                )
                for index in range(start, min(start + 500, accounts))
            ]
            writer.submit(granted).result()

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
        if self._turn % 2 and self._held:
            index, reservation_id = self._held.popleft()
            command: Any = Capture(address=self._addresses[index], reservation_id=reservation_id, debit_id=new_id("d"))
        else:
            index = self._turn // 2 % len(self._addresses)
            command = Reserve(address=self._addresses[index], reservation_id=new_id("r"), amount=10)
        self._turn += 1
        return Waiting(Unit((self._submission(index, command),)), _Slot(self, index, command), None, float("inf"))

    def _submission(self, index: int, command: Any) -> Submission:
        org = self._orgs[index % len(self._orgs)]
        return Submission(org=org, command=command, actor="worker:bench", caller="worker:bench", key=new_id())

    def answered(self, index: int, command: Any, failure: Exception | None) -> None:
        """Called by the writer's thread for each answer."""
        self._failure = self._failure or failure
        if isinstance(command, Reserve):
            self._held.append((index, command.reservation_id))
        self._answered += 1
        if monotonic() < self._until and self._left > 0 and not self._failure:
            self._left -= 1
            self._writer.enqueue([self._next()])
        else:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()


class _Slot(Future[Any]):
    """Stands where a future would, at less cost: the load is to be measured, not its waiting."""

    def __init__(self, load: Load, index: int, command: Any) -> None:
        # The parent's condition variable is what costs; nothing here waits on one.
        self._load = load
        self._index = index
        self._command = command

    def done(self) -> bool:
        return False

    def set_result(self, results: Any) -> None:
        refusal = results[0].refusal
        self._load.answered(self._index, self._command, RuntimeError(refusal.detail) if refusal else None)

    def set_exception(self, error: BaseException | None) -> None:
        self._load.answered(self._index, self._command, RuntimeError(f"no answer: {error!r}"))
