"""The burn order of grants and how slices are taken from it and put back."""

from bisect import bisect_left, insort_left
from collections.abc import Iterable
from datetime import datetime

from domain.bounds import MAX_SLICES
from domain.credits.events import EPOCH, OVERDRAFT, Slice
from domain.periods import NEVER

Burn = tuple[int, datetime, datetime, str]


def burn_key(part: Slice) -> Burn:
    """Grants burn by (priority, expires_at, time of grant, id); lower first, no expiry last (requirements, ledger)."""
    return part.priority, part.expires_at or NEVER, part.granted_at, part.grant


def sized(part: Slice, amount: int) -> Slice:
    """The same terms for another amount; `_replace` would be shorter, at three times the cost on the hottest path."""
    return Slice(part.grant, amount, part.source, part.priority, part.expires_at, part.granted_at)


def take(grants: tuple[Slice, ...], amount: int) -> tuple[Slice, ...]:
    """Choose the slices that pay `amount` (1 or more) in burn order; what no grant covers is an overdraft slice.

    Whether an overdraft is allowed is the caller's decision. More than MAX_SLICES are refused by all callers, so that
    no more than one beyond them is returned.
    """
    if grants and grants[0].amount > amount:  # nearly always
        return (sized(grants[0], amount),)
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


def subtract(grants: tuple[Slice, ...], slices: tuple[Slice, ...]) -> tuple[Slice, ...]:
    """The live grants without `slices`; a grant that has nothing left disappears. Overdraft slices are passed over."""
    if len(slices) == 1 and grants and grants[0].amount > slices[0].amount and _same_grant(grants[0], slices[0]):
        return (sized(grants[0], grants[0].amount - slices[0].amount), *grants[1:])  # nearly always
    left = list(grants)
    for part in slices:
        if part.grant == OVERDRAFT:
            continue
        index = 0 if _same_grant(left[0], part) else bisect_left(left, burn_key(part), key=burn_key)
        rest = left[index].amount - part.amount
        if rest:
            left[index] = sized(left[index], rest)
        else:
            del left[index]
    return tuple(left)


def add(grants: tuple[Slice, ...], slices: Iterable[Slice]) -> tuple[Slice, ...]:
    """The live grants with `slices` put back in burn order. Overdraft slices are passed over."""
    live = list(grants)
    for part in slices:
        if part.grant == OVERDRAFT or not part.amount:
            continue
        index = bisect_left(live, burn_key(part), key=burn_key)
        if index < len(live) and burn_key(live[index]) == burn_key(part):
            live[index] = live[index]._replace(amount=live[index].amount + part.amount)
        else:
            insort_left(live, part, key=burn_key)
    return tuple(live)


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
    """A refund may bring the same grant back with a later end, so the id alone does not tell."""
    return one.grant == other.grant and one.expires_at == other.expires_at
