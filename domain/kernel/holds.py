"""Open holds by id, and in the order in which they end."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, Self, TypeVar, cast

from immutables import Map

from domain.kernel.order import Order
from domain.periods import NEVER

FEW = 16  # up to here a walk is cheaper than an order that is kept

End = tuple[datetime, str]  # when a hold ends, and its id
H = TypeVar("H")


class Holds(Mapping[str, H]):
    """An immutable map of what ends at a moment: `expires_at`, or what a subclass has as `moment`.

    `next_end` is when the first of them ends, NEVER where there is none. `set`, `delete` and `ended` never walk all.
    A user may have 100,000 holds, and walking those takes 36 ms: for each request, under the lock of the partition that
    all wait for.
    """

    __slots__ = ("_by_id", "_ends", "next_end")
    moment: ClassVar[Any] = attrgetter("expires_at")
    PLAIN: ClassVar[Any] = dict[str, Any]  # the type of `plain`, of a subclass that is not generic

    def __init__(
        self, by_id: "Map[str, H] | None" = None, ends: Order[End] | None = None, next_end: datetime = NEVER
    ) -> None:
        """`ends` of more than a few holds; use `of` for holds that have no order yet."""
        self._by_id: Map[str, H] = Map() if by_id is None else by_id
        self._ends = ends
        self.next_end = next_end

    @classmethod
    def of(cls, holds: "Mapping[str, H] | Map[str, H]") -> Self:
        """These holds."""
        by_id = holds if isinstance(holds, Map) else Map(holds)
        if len(by_id) <= FEW:
            return cls(by_id, None, cls._first(by_id))
        ends = cls._ordered(by_id)
        return cls(by_id, ends, ends[0][0])

    @classmethod
    def _first(cls, by_id: "Map[str, H]") -> datetime:
        return min(map(cls.moment, by_id.values()), default=NEVER)

    @classmethod
    def _ordered(cls, by_id: "Map[str, H]") -> Order[End]:
        moment = cls.moment
        return Order[End].of((moment(hold), id_) for id_, hold in by_id.items())

    def set(self, id_: str, hold: H) -> Self:
        """With this hold under the id, in place of the one that was there."""
        by_id, end, before = self._by_id.set(id_, hold), self.moment(hold), self._by_id.get(id_)
        if self._ends is None:
            if len(by_id) > FEW:
                return self.of(by_id)
            first = self.next_end
            if before is not None and end > first and self.moment(before) == first:
                first = self._first(by_id)
            return type(self)(by_id, None, min(first, end))
        ends = self._ends
        if before is not None:
            was = self.moment(before)
            if was == end:
                return type(self)(by_id, ends, self.next_end)
            ends = ends.remove((was, id_))
        ends = ends.add((end, id_))
        return type(self)(by_id, ends, ends[0][0])

    def delete(self, id_: str) -> Self:
        """Without the hold. Raises KeyError."""
        by_id, before = self._by_id.delete(id_), self._by_id[id_]
        if self._ends is None or len(by_id) <= FEW // 2:
            if not by_id:
                return type(self)(by_id)
            first = self.next_end
            return type(self)(by_id, None, self._first(by_id) if self.moment(before) == first else first)
        ends = self._ends.remove((self.moment(before), id_))
        return type(self)(by_id, ends, ends[0][0])

    def ended(self, now: datetime) -> Iterator[tuple[str, H]]:
        """Those that have ended at `now`, by (end, id)."""
        if self.next_end > now:
            return
        moment, by_id = self.moment, self._by_id
        for end, id_ in self._ends or sorted((moment(hold), id_) for id_, hold in by_id.items()):
            if end > now:
                return
            yield id_, by_id[id_]

    @classmethod
    def of_plain(cls, plain: Any) -> Self:
        """What `plain` gave."""
        return cls.of(plain)

    def plain(self) -> Any:
        """All of them, as they are stored."""
        return dict(self._by_id.items())

    def items(self) -> ItemsView[str, H]:
        """All of them, each with its id, in no order."""
        return cast("ItemsView[str, H]", self._by_id.items())

    def values(self) -> ValuesView[H]:
        """All of them, in no order."""
        return cast("ValuesView[H]", self._by_id.values())

    def __getitem__(self, id_: str) -> H:
        return self._by_id[id_]

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
        return f"{type(self).__name__}.of({dict(self._by_id)!r})"
