"""Commands that wait for a stream: until what is due on it is written, or until it is loaded."""

from collections import deque
from collections.abc import Iterator
from math import inf

from domain.kernel.work import Key
from infra.writer.waiting import Waiting


class _Line:
    """Those who wait for one stream. `first`: who has gone for the next slice; `at`: when it may be written."""

    __slots__ = ("at", "first", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Waiting] = deque()
        self.first: Waiting | None = None
        self.at = 0.0


class HeldUp:
    """Of a stream one slice at a time is under way, for one command; the others wait here. For one thread at a time.

    `size`: commands that wait here.
    """

    def __init__(self) -> None:
        self.size = 0
        self._soonest = inf  # no deadline passes before
        self._lines: dict[Key, _Line] = {}
        self._firsts: dict[Waiting, Key] = {}

    def __iter__(self) -> Iterator[Waiting]:
        return (item for line in self._lines.values() for item in line.waiting)

    def __bool__(self) -> bool:
        """Whether anybody waits, or has gone for a slice."""
        return bool(self._lines)

    @property
    def next_at(self) -> float:
        """When the next slice may be written, or inf."""
        return min((line.at for line in self._lines.values() if line.first is None), default=inf)

    def put(self, item: Waiting, key: Key, at: float) -> None:
        """Have a command wait. `at`: from when on it may be tried again; inf while the stream is loaded.

        Who comes later does not change that, until the first one is tried.
        """
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
            line.at = at
        if item is line.first:
            line.at, line.first = at, None
            del self._firsts[item]
            line.waiting.appendleft(item)
        else:
            line.waiting.append(item)
        self.size += item.size
        self._soonest = min(self._soonest, item.deadline)

    def take(self, now: float) -> list[Waiting]:
        """The commands that may be tried now: of each stream the first."""
        found = []
        for key, line in self._lines.items():
            if line.first is None and line.at <= now:
                line.first = line.waiting.popleft()
                self._firsts[line.first] = key
                self.size -= line.first.size
                found.append(line.first)
        return found

    def resting(self) -> set[Key]:
        """The streams on which no slice is to be written now."""
        return {key for key, line in self._lines.items() if line.first is None}

    def first_of(self, item: Waiting) -> Key | None:
        """The stream for the next slice of which a command has gone."""
        return self._firsts.get(item)

    def ended(self, item: Waiting) -> list[Waiting]:
        """Who may be tried now that a command has its answer, or waits for another stream."""
        key = self._firsts.get(item)
        return self.free(key) if key is not None else []

    def free(self, key: Key) -> list[Waiting]:
        """All who wait for a stream; nobody does any more."""
        line = self._lines.pop(key, None)
        if line is None:
            return []
        if line.first is not None:
            del self._firsts[line.first]
        self.size -= sum(item.size for item in line.waiting)
        return list(line.waiting)

    def late(self, now: float) -> list[Waiting]:
        """Those whose deadline has passed; they wait no longer."""
        if now < self._soonest:
            return []
        found = [item for item in self if item.deadline < now]
        self._soonest = min((item.deadline for item in self if item.deadline >= now), default=inf)
        if found:
            for key, line in list(self._lines.items()):
                line.waiting = deque(item for item in line.waiting if item.deadline >= now)
                if not line.waiting and line.first is None:
                    del self._lines[key]
            self.size -= sum(item.size for item in found)
        return found
