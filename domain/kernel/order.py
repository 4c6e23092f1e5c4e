"""An immutable sorted list in blocks: a change copies one block, whatever the length."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

BLOCK = 256  # entries that are copied for a change, at most

E = TypeVar("E")
Blocks = tuple[tuple[E, ...], ...]  # all entries in their order, cut into blocks, none of which is empty


class Order(Generic[E]):
    """Entries in their own order, in `blocks`. A subclass with a `key` sorts by that; no two entries may have the same.

    A heap would keep removed entries for up to a week, and be walked to drop them.
    """

    __slots__ = ("_size", "blocks")
    key: ClassVar[Any] = None
    PLAIN: ClassVar[Any] = tuple[Any, ...]  # the type of `plain`

    def __init__(self, blocks: Blocks[E] = (), size: int = 0) -> None:
        """Use `of` for entries that are not in blocks yet."""
        self.blocks = blocks
        self._size = size

    @classmethod
    def of(cls, entries: Iterable[E]) -> Self:
        """These entries, in any order."""
        ordered = sorted(entries, key=cls.key)
        return cls(_cut(ordered), len(ordered))

    @classmethod
    def of_plain(cls, entries: tuple[E, ...]) -> Self:
        """What `plain` gave."""
        return cls.of(entries)

    def plain(self) -> tuple[E, ...]:
        """All entries, in their order."""
        return tuple(self)

    def add(self, entry: E) -> "Order[E]":
        """With another entry; a block that has grown too long is halved."""
        blocks = self.blocks
        last: Any = blocks[-1] if blocks and self.key is None else ()
        if last and last[-1] < entry and len(last) < BLOCK:  # nearly always: it ends after all that began before it
            grown = last + (entry,)  # noqa: RUF005 - unpacking takes three times as long
            return Order((grown,) if len(blocks) == 1 else (*blocks[:-1], grown), self._size + 1)
        at, index = self._find(entry if self.key is None else self.key(entry))
        return Order(self._added(at, index, entry), self._size + 1)

    def remove(self, entry: E) -> "Order[E]":
        """Without an entry. Raises KeyError where it is not there."""
        blocks = self.blocks
        if blocks and blocks[-1][-1] == entry:  # what has just begun is often done at once
            last = blocks[-1][:-1]
            if len(blocks) == 1:
                return Order((last,) if last else (), self._size - 1)
            at, index = len(blocks) - 1, len(last)
        elif blocks and blocks[0][0] == entry:  # else the oldest ones are done first
            at = index = 0
        else:
            at, index = self._find(entry if self.key is None else self.key(entry))
            if at == len(blocks) or blocks[at][index] != entry:
                raise KeyError(entry)
        return Order(self._removed(at, index), self._size - 1)

    def _find(self, wanted: Any) -> tuple[int, int]:
        """The block and the index in it where what has this key is or would be; behind the last block for neither."""
        blocks, key = self.blocks, self.key
        if key is None:
            if not blocks or wanted > blocks[-1][-1]:
                return len(blocks), 0
            at = bisect_left(blocks, wanted, key=_LAST) if len(blocks) > 1 else 0
            return at, bisect_left(blocks[at], wanted)
        at = bisect_left(blocks, wanted, key=lambda block: key(block[-1])) if len(blocks) != 1 else 0
        if at == len(blocks):
            return at, 0
        index = bisect_left(blocks[at], wanted, key=key)
        return (at, index) if index < len(blocks[at]) else (at + 1, 0)

    def _added(self, at: int, index: int, entry: E) -> Blocks[E]:
        """With the entry there, as `_find` tells."""
        blocks = self.blocks
        if not blocks:
            return ((entry,),)
        if at == len(blocks):
            at, index = at - 1, len(blocks[-1])
        block = blocks[at]
        grown = block[:index] + (entry,) + block[index:]  # noqa: RUF005 - unpacking takes three times as long
        half = len(grown) // 2
        changed = (grown,) if len(grown) <= BLOCK else (grown[:half], grown[half:])
        return blocks[:at] + changed + blocks[at + 1 :]

    def _removed(self, at: int, index: int) -> Blocks[E]:
        """Without the entry there; a block that has become short is joined to the next one."""
        blocks, after = self.blocks, at + 1
        block = blocks[at]
        rest = block[:index] + block[index + 1 :]
        if len(rest) < BLOCK // 4 and after < len(blocks) and len(rest) + len(blocks[after]) <= BLOCK:
            rest += blocks[after]
            after += 1
        return blocks[:at] + ((rest,) if rest else ()) + blocks[after:]

    def _replaced(self, at: int, index: int, entry: E) -> Blocks[E]:
        """With the entry there changed in what does not order it."""
        blocks = self.blocks
        block = blocks[at]
        changed = block[:index] + (entry,) + block[index + 1 :]  # noqa: RUF005
        return blocks[:at] + (changed,) + blocks[at + 1 :]  # noqa: RUF005

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[E, ...]: ...
    def __getitem__(self, index: int | slice) -> E | tuple[E, ...]:
        """The first entry by 0, the first ones by `[:most]`. Raises IndexError."""
        if index == 0:
            return self.blocks[0][0]
        if isinstance(index, slice) and not index.start and (index.step or 1) == 1:
            return tuple(islice(self, index.stop))
        return tuple(self)[index]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[E]:
        return chain.from_iterable(self.blocks)

    def __eq__(self, other: object) -> bool:
        """Equal to any list of the same entries in the same order."""
        return tuple(self) == tuple(other) if isinstance(other, Order | tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}.of({list(self)!r})"


def _cut(ordered: Sequence[E]) -> Blocks[E]:
    if len(ordered) <= BLOCK:
        return (tuple(ordered),) if ordered else ()
    size = BLOCK // 2  # half full, so that the next ones find room
    return tuple(tuple(ordered[start : start + size]) for start in range(0, len(ordered), size))


_LAST = itemgetter(-1)
