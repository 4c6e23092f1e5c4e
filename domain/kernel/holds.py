"""Open holds by id, and in the order in which they end."""

from bisect import bisect_left
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from datetime import datetime
from operator import itemgetter
from typing import Any, Protocol, TypeVar, cast, overload

from immutables import Map

from domain.periods import NEVER

FEW = 1_024  # up to here a walk, at most 0.4 ms and rare, costs less than to keep an order at each change
BLOCK = 256  # ends that are copied for a change, at most

End = tuple[datetime, str]  # when a hold ends, and its id
Blocks = tuple[tuple[End, ...], ...]  # all ends in their order, cut into blocks, none of which is empty


class Ending(Protocol):
    """Something that ends at a moment."""

    @property
    def expires_at(self) -> datetime: ...


H = TypeVar("H", bound=Ending)
Other = TypeVar("Other")


class Holds(Mapping[str, H]):
    """An immutable map of holds. `set`, `delete`, `next_end` and `ended` never walk all of them.

    A user may have 100,000 holds, and walking those takes 36 ms: for each request, under the lock of the partition that
    all wait for. A heap would keep what was captured for up to a week, and be walked to get rid of it.
    """

    __slots__ = ("_by_id", "_ends")

    def __init__(self, by_id: "Map[str, H] | None" = None, ends: Blocks | None = None) -> None:
        """`ends` of more than a few holds; use `of` for holds that have no order yet."""
        self._by_id: Map[str, H] = Map() if by_id is None else by_id
        self._ends = ends

    @classmethod
    def of(cls, holds: Mapping[str, H]) -> "Holds[H]":
        """These holds."""
        return cls(Map(holds), _ordered(holds) if len(holds) > FEW else None)

    def set(self, id_: str, hold: H) -> "Holds[H]":
        """With this hold under the id, in place of the one that was there."""
        by_id, ends = self._by_id.set(id_, hold), self._ends
        if ends is not None:
            before = self._by_id.get(id_)
            if before is None or before.expires_at != hold.expires_at:
                if before is not None:
                    ends = _without(ends, (before.expires_at, id_))
                ends = _with(ends, (hold.expires_at, id_))
        elif len(by_id) > FEW:
            ends = _ordered(by_id)
        return Holds(by_id, ends)

    def delete(self, id_: str) -> "Holds[H]":
        """Without the hold. Raises KeyError."""
        by_id, ends = self._by_id.delete(id_), self._ends
        if ends is not None:
            ends = _without(ends, (self._by_id[id_].expires_at, id_)) if len(by_id) > FEW // 2 else None
        return Holds(by_id, ends)

    def next_end(self) -> datetime:
        """When the first of them ends; NEVER where there is none."""
        if self._ends is not None:
            return self._ends[0][0][0]
        return min((hold.expires_at for hold in self._by_id.values()), default=NEVER)

    def ended(self, now: datetime) -> list[tuple[str, H]]:
        """Those that have ended at `now`, by (end, id)."""
        if self._ends is None:
            found = sorted((hold.expires_at, id_) for id_, hold in self._by_id.items() if hold.expires_at <= now)
            return [(id_, self._by_id[id_]) for _, id_ in found]
        return list(self._until(now))

    def _until(self, now: datetime) -> Iterator[tuple[str, H]]:
        for block in self._ends or ():
            for expires_at, id_ in block:
                if expires_at > now:
                    return
                yield id_, self._by_id[id_]

    def items(self) -> ItemsView[str, H]:
        """All of them, each with its id, in no order."""
        return cast("ItemsView[str, H]", self._by_id.items())

    def values(self) -> ValuesView[H]:
        """All of them, in no order."""
        return cast("ValuesView[H]", self._by_id.values())

    def __getitem__(self, id_: str) -> H:
        return self._by_id[id_]

    @overload
    def get(self, id_: str, /) -> H | None: ...
    @overload
    def get(self, id_: str, /, default: H | Other) -> H | Other: ...
    def get(self, id_: str, /, default: Any = None) -> Any:
        """As of any mapping, whose own one takes three calls."""
        return self._by_id.get(id_, default)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._by_id

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def __eq__(self, other: object) -> bool:
        return self._by_id == other._by_id if isinstance(other, Holds) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._by_id)

    def __repr__(self) -> str:
        return f"Holds({dict(self._by_id)!r})"


def _ordered(holds: "Mapping[str, Ending] | Map[str, H]") -> Blocks:
    ends = sorted((hold.expires_at, id_) for id_, hold in holds.items())
    size = BLOCK // 2  # half full, so that the next ones find room
    return tuple(tuple(ends[start : start + size]) for start in range(0, len(ends), size))


def _with(blocks: Blocks, end: End) -> Blocks:
    """With another end; a block that has grown too long is halved."""
    last = len(blocks) - 1
    if end > blocks[last][-1]:  # nearly always: it ends after all that began before it
        at, block, index = last, blocks[last], len(blocks[last])
    else:
        at = _block(blocks, end)
        block = blocks[at]
        index = bisect_left(block, end)
    grown = block[:index] + (end,) + block[index:]  # noqa: RUF005 - unpacking takes three times as long
    half = len(grown) // 2
    changed = (grown,) if len(grown) <= BLOCK else (grown[:half], grown[half:])
    return blocks[:at] + changed + blocks[at + 1 :]


def _without(blocks: Blocks, end: End) -> Blocks:
    """Without an end that is there; a block that has become short is joined to the next one."""
    at = index = 0
    if blocks[0][0] != end:  # the oldest ones are done first
        at = _block(blocks, end)
        index = bisect_left(blocks[at], end)
    block, after = blocks[at], at + 1
    rest = block[:index] + block[index + 1 :]
    if len(rest) < BLOCK // 4 and after < len(blocks) and len(rest) + len(blocks[after]) <= BLOCK:
        rest += blocks[after]
        after += 1
    return blocks[:at] + ((rest,) if rest else ()) + blocks[after:]


def _block(blocks: Blocks, end: End) -> int:
    """The number of the first block that does not end before `end`."""
    return bisect_left(blocks, end, key=_LAST) if len(blocks) > 1 else 0


_LAST = itemgetter(-1)
