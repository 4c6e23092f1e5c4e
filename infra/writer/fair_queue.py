"""A queue from which callers are served in turn: by organisation, and within an organisation by login.

First come, first served would let one caller with many commands hold up everybody else for as long as those take.
"""

from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from math import inf
from typing import Generic, NamedTuple, Protocol, TypeVar

from infra.turns import Caller
from infra.writer.submission import Overloaded

TURN = 8  # commands or questions of one turn, as a rule
LITTLE = 1_000  # who has no more waiting finds room while others have filled the queue


class Waits(Protocol):
    """Something that waits: whose it is, how many commands or questions are left, whether they are done as a whole."""

    caller: Caller
    size: int
    whole: bool


Item = TypeVar("Item", bound=Waits)


class Taken(NamedTuple, Generic[Item]):
    """What is to be done next: items, each with how much of it.

    Who has little comes first. After `least` commands or questions each organisation has had a turn, so the rest may be
    put back where others would have to wait for it. `caller`: whose all of it is, None where it is of several.
    """

    items: list[tuple[Item, int]]
    least: int
    caller: Caller | None


class _Line(Generic[Item]):
    """What one caller waits for. `given`: how much of the first item is in the batch that is put together."""

    __slots__ = ("caller", "given", "items", "size")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.items: deque[Item] = deque()
        self.size = self.given = 0


class FairQueue(Generic[Item]):
    """Lines of callers. For one thread at a time; `size`, `waits` and `others` may be looked at by any."""

    def __init__(self, turn: int = TURN) -> None:
        self._of_turn = turn
        self.size = 0  # commands or questions that wait
        # Lines by organisation and login, none of them empty; whose turn is next is first.
        self._orgs: OrderedDict[str, OrderedDict[str, _Line[Item]]] = OrderedDict()
        # Callers that have no turn for a while, until when, and the lines of those who wait.
        self._resting: dict[Caller, float] = {}
        self._aside: dict[Caller, _Line[Item]] = {}

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        """Whether anybody waits whose turn it may be."""
        return bool(self._orgs)

    def __iter__(self) -> Iterator[Item]:
        lines = chain.from_iterable(logins.values() for logins in self._orgs.values())
        return (item for line in (*lines, *self._aside.values()) for item in line.items)

    def rest(self, caller: Caller, until: float) -> None:
        """Let a caller have no turn before a moment. Others of its organisation keep theirs."""
        org, login = caller
        lines = self._orgs.get(org)
        if lines is not None and (line := lines.get(login)) is not None:
            self._remove(line)
            self._aside[caller] = line
        self._resting[caller] = until

    def wake(self, now: float) -> float:
        """Let those have turns again whose rest is over; returns when the next one's will be, or inf."""
        for caller in [caller for caller, until in self._resting.items() if until <= now]:
            del self._resting[caller]
            if caller in self._aside:
                org, login = caller
                self._orgs.setdefault(org, OrderedDict())[login] = self._aside.pop(caller)
        return min(self._resting.values(), default=inf)

    def put(self, items: Sequence[Item], most: int) -> None:
        """Put items at the ends of their callers' lines, all or none; `most` may wait.

        Beyond that there is room for those who have little: half as much again, of which logins of an organisation that
        has much get one half. Raises Overloaded.
        """
        if len(items) == 1 and self.size + items[0].size <= most:  # nearly always
            self._add(items[0])
            return
        sizes: dict[Caller, int] = {}
        for item in items:
            sizes[item.caller] = sizes.get(item.caller, 0) + item.size
        all_ = self.size + sum(sizes.values())
        if all_ > most and not all(self._has_little(caller, size, all_, most) for caller, size in sizes.items()):
            raise Overloaded
        for item in items:
            self._add(item)

    def back(self, items: Sequence[Item], served: Collection[Caller] = ()) -> None:
        """Put back what is left of items that were taken, before all others of their callers.

        The next turns are those of the callers who were not `served` at all, in the order of the items.
        """
        for item in reversed(items):
            line = self._line(item.caller)
            line.items.appendleft(item)
            line.size += item.size
            self.size += item.size
            if item.caller not in served:
                self._put_first(line)

    def waits(self, caller: Caller) -> bool:
        """Whether the caller waits."""
        return caller in self._aside or caller[1] in self._orgs.get(caller[0], ())

    def others(self, caller: Caller) -> bool:
        """Whether anybody else waits."""
        lines = self._orgs.get(caller[0])
        if lines is None:
            return bool(self._orgs)
        return len(self._orgs) > 1 or len(lines) > (caller[1] in lines)

    def take(self, most: int) -> Taken[Item]:
        """The next `most` commands or questions, or a few more where something is done as a whole.

        What is more than a turn and is done as a whole comes alone, unless nobody else waits.
        """
        items: list[tuple[Item, int]] = []
        met: dict[Caller, _Line[Item]] = {}
        if len(self._orgs) == 1 and len(lines := next(iter(self._orgs.values()))) == 1:
            (line,) = lines.values()
            met[line.caller] = line
            self._turn(line, most, items, alone=True)
            self._next(line)
            least = self._of_turn
        else:
            least = self._take_turns(most, items, met)
        for line in met.values():
            if line.given:
                item = line.items.popleft()
                items.append((item, line.given))
                line.given = 0
                line.size -= item.size
                self.size -= item.size
                if not line.items:
                    self._remove(line)
        return Taken(items, least, next(iter(met)) if len(met) == 1 else None)

    def _take_turns(self, most: int, items: list[tuple[Item, int]], met: dict[Caller, _Line[Item]]) -> int:
        """Add to `items` what is taken whole, and to `met` whose turn it was; returns what `Taken.least` is."""
        alone: list[_Line[Item]] = []  # they keep their turn for the next batch
        orgs: set[str] = set()
        room, least = most, 0
        while room > 0 and self._orgs:
            org, lines = next(iter(self._orgs.items()))
            line = next(iter(lines.values()))
            first = line.items[0]
            if first.whole and first.size > self._of_turn:
                if met:
                    self._remove(line)
                    alone.append(line)
                    continue
                room = 1
            if org in orgs and not least:  # the first round is over
                least = sum(size for _, size in items) + self._of_turn
            orgs.add(org)
            met[line.caller] = line
            room -= self._turn(line, min(self._of_turn, room), items)
            self._next(line)
        for line in reversed(alone):
            self._put_first(line)
        return least or most

    def _turn(self, line: _Line[Item], most: int, items: list[tuple[Item, int]], *, alone: bool = False) -> int:
        """Take up to `most` from a line, and add to `items` what that completes; how many commands or questions."""
        waiting, turn = line.items, 0
        while waiting and turn < most:
            item = waiting[0]
            size = item.size
            if size > 1:
                if item.whole and turn and size > self._of_turn and not alone:
                    break
                if size - line.given > most - turn and not item.whole:
                    line.given += most - turn
                    turn = most
                    break
            waiting.popleft()
            items.append((item, size))
            turn += size - line.given
            line.given = 0
            line.size -= size
            self.size -= size
        return turn

    def _add(self, item: Item) -> None:
        line, size = self._line(item.caller), item.size
        line.items.append(item)
        line.size += size
        self.size += size

    def _line(self, caller: Caller) -> _Line[Item]:
        """The caller's line, made at the end where there is none."""
        org, login = caller
        if caller in self._resting:
            line = self._aside.get(caller)
            if line is None:
                line = self._aside[caller] = _Line(caller)
            return line
        lines = self._orgs.get(org)
        if lines is None:
            lines = self._orgs[org] = OrderedDict()
        line = lines.get(login)
        if line is None:
            line = lines[login] = _Line(caller)
        return line

    def _next(self, line: _Line[Item]) -> None:
        """After a line's turn it is others' turn."""
        org, login = line.caller
        if line.items:
            self._orgs[org].move_to_end(login)
        else:
            self._remove(line)
        if org in self._orgs:
            self._orgs.move_to_end(org)

    def _remove(self, line: _Line[Item]) -> None:
        org, login = line.caller
        lines = self._orgs[org]
        del lines[login]
        if not lines:
            del self._orgs[org]

    def _put_first(self, line: _Line[Item]) -> None:
        if line.caller in self._resting:
            return
        org, login = line.caller
        lines = self._orgs.setdefault(org, OrderedDict())
        lines[login] = line
        lines.move_to_end(login, last=False)
        self._orgs.move_to_end(org, last=False)

    def _has_little(self, caller: Caller, size: int, all_: int, most: int) -> bool:
        """Whether the queue has room beyond `most` for `size` more of the caller's, `all_` with them."""
        org = caller[0]
        own = {line.caller: line.size for line in self._orgs.get(org, {}).values()}
        own |= {resting: line.size for resting, line in self._aside.items() if resting[0] == org}
        of_login, of_org = size + own.get(caller, 0), size + sum(own.values())
        little, reserve = min(LITTLE, most // 20), most // 4
        return of_login <= little and (all_ <= most + reserve or (of_org <= little and all_ <= most + 2 * reserve))
