"""The burn order of grants and how slices are taken from it and put back."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import takewhile
from typing import Self

from domain.bounds import MAX_SLICES
from domain.credits.events import EPOCH, OVERDRAFT, Slice
from domain.kernel.order import Blocks, Order
from domain.kernel.work import make
from domain.periods import NEVER

Burn = tuple[int, datetime, datetime, str]
Ends = Order[tuple[datetime, Burn]]
_NO_ENDS = Ends()


def burn_key(part: Slice) -> Burn:
    """Grants burn by (priority, expires_at, time of grant, id); lower first, no expiry last (requirements, ledger)."""
    return part.priority, part.expires_at or NEVER, part.granted_at, part.grant


def sized(part: Slice, amount: int) -> Slice:
    """The same terms for another amount; `_replace` would be shorter, at five times the cost on the hottest path."""
    grant, _, source, priority, expires_at, granted_at = part
    other: Slice = make(Slice, (grant, amount, source, priority, expires_at, granted_at))
    return other


class Grants(Order[Slice]):
    """Live grants in burn order. `next_end` is when the first of them expires, NEVER where none does."""

    __slots__ = ("_ends", "next_end")
    key = staticmethod(burn_key)
    PLAIN = tuple[Slice, ...]

    def __init__(
        self, blocks: Blocks[Slice] = (), size: int = 0, ends: Ends = _NO_ENDS, next_end: datetime = NEVER
    ) -> None:
        """`ends` of those that expire, each with its key; use `of` for grants that have no order yet."""
        self.blocks = blocks
        self._size = size
        self._ends = ends
        self.next_end = next_end

    @classmethod
    def of(cls, entries: Iterable[Slice]) -> Self:
        """These grants, in any order."""
        plain = super().of(entries)
        ends = Ends.of((part.expires_at, burn_key(part)) for part in plain if part.expires_at)
        return cls(plain.blocks, len(plain), ends, _first(ends))

    def subtract(self, slices: tuple[Slice, ...]) -> "Grants":
        """Without `slices`; a grant that has nothing left disappears. Overdraft slices are passed over."""
        grants = self
        for part in slices:
            if part[0] == OVERDRAFT:
                continue
            block = grants.blocks[0]
            first = block[0]
            if first[1] > part[1] and first[0] == part[0] and first[4] == part[4]:  # nearly always a part of the first
                grants = grants._with_first((sized(first, first[1] - part[1]), *block[1:]))
            else:
                grants = grants._without(part)  # noqa: SLF001 - of its own class
        return grants

    def put_back(self, slices: Iterable[Slice]) -> "Grants":
        """With `slices` put back in burn order. Overdraft slices are passed over."""
        grants = self
        for part in slices:
            if part[0] == OVERDRAFT or not part[1]:
                continue
            block = grants.blocks[0] if grants.blocks else ()
            if block and block[0][0] == part[0] and block[0][2:] == part[2:]:  # nearly always of the first
                grants = grants._with_first((sized(part, block[0][1] + part[1]), *block[1:]))
            else:
                grants = grants._with(part)  # noqa: SLF001 - of its own class
        return grants

    def _with_first(self, block: tuple[Slice, ...]) -> "Grants":
        blocks = self.blocks
        return Grants((block,) if len(blocks) == 1 else (block, *blocks[1:]), self._size, self._ends, self.next_end)

    def expired(self, now: datetime) -> Iterator[Slice]:
        """Those that have expired at `now`, by their ends."""
        for _, key in takewhile(lambda end: end[0] <= now, self._ends):
            at, index = self._find(key)
            yield self.blocks[at][index]

    def _without(self, part: Slice) -> "Grants":
        blocks, ends, at, index = self.blocks, self._ends, 0, 0
        if not _same_grant(blocks[0][0], part):  # it is nearly always the first
            at, index = self._find(burn_key(part))
        known = blocks[at][index]
        if known.amount != part.amount:
            rest = sized(known, known.amount - part.amount)
            return Grants(self._replaced(at, index, rest), self._size, ends, self.next_end)
        if known.expires_at:
            ends = ends.remove((known.expires_at, burn_key(known)))
        return Grants(self._removed(at, index), self._size - 1, ends, _first(ends))

    def _with(self, part: Slice) -> "Grants":
        blocks, ends, key = self.blocks, self._ends, burn_key(part)
        at, index = self._find(key)
        if at < len(blocks) and burn_key(known := blocks[at][index]) == key:
            more = sized(known, known.amount + part.amount)
            return Grants(self._replaced(at, index, more), self._size, ends, self.next_end)
        if part.expires_at:
            ends = ends.add((part.expires_at, key))
        return Grants(self._added(at, index, part), self._size + 1, ends, _first(ends))


def _first(ends: Ends) -> datetime:
    return ends[0][0] if ends else NEVER


def take(grants: Grants, amount: int) -> tuple[Slice, ...]:
    """Choose the slices that pay `amount` (1 or more) in burn order; what no grant covers is an overdraft slice.

    Whether an overdraft is allowed is the caller's decision. More than MAX_SLICES are refused by all callers, so that
    no more than one beyond them is returned.
    """
    blocks = grants.blocks
    if blocks and (first := blocks[0][0]).amount > amount:  # nearly always
        return (sized(first, amount),)
    taken: list[Slice] = []
    for grant in grants[: MAX_SLICES + 1]:
        if grant.amount >= amount:
            taken.append(sized(grant, amount))
            return tuple(taken)
        taken.append(grant)
        amount -= grant.amount
    if len(grants) > len(taken):
        return tuple(taken)
    taken.append(Slice(OVERDRAFT, amount, "overdraft", 0, None, EPOCH))
    return tuple(taken)


def split(slices: tuple[Slice, ...], amount: int) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
    """Divide slices, in their order, into those that make up `amount` and the rest."""
    paid: list[Slice] = []
    for index, part in enumerate(slices):
        if amount <= 0:
            return tuple(paid), slices[index:]
        if part.amount > amount:
            paid.append(part._replace(amount=amount))
            return tuple(paid), (part._replace(amount=part.amount - amount), *slices[index + 1 :])
        paid.append(part)
        amount -= part.amount
    return tuple(paid), ()


def joined(first: tuple[Slice, ...], more: tuple[Slice, ...]) -> tuple[Slice, ...]:
    """The slices of a hold that grew. Where they meet in one grant they become one, so that growing costs no memory."""
    if first and more and first[-1].grant == more[0].grant and burn_key(first[-1]) == burn_key(more[0]):
        last = first[-1]
        return (*first[:-1], last._replace(amount=last.amount + more[0].amount), *more[1:])
    return first + more


def overdraft_in(slices: tuple[Slice, ...]) -> int:
    """How much of the slices is below zero."""
    total = 0
    for part in slices:
        if part.grant == OVERDRAFT:
            total += part.amount
    return total


def _same_grant(one: Slice, other: Slice) -> bool:
    """A refund may bring the same grant back with a later end, so equal ids are not enough."""
    return one.grant == other.grant and one.expires_at == other.expires_at
