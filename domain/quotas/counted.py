"""What counts only while a generation is open: one stream for each such resource, `counted/{resource}`.

Until an organisation sets a limit nothing is written here: it costs nothing (docs/decisions/0018).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from domain.kernel.domain import Module
from domain.kernel.holds import Many, with_entry, without_entry
from domain.kernel.work import Work
from domain.quotas.events import Amounts, UseExpired, UseExtended, UseHeld, UseReleased
from domain.quotas.quota import Quota, kind
from domain.quotas.quota import evolve as evolve_quota
from domain.untagged import Untagged

PREFIX = "counted/"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingStarted(Untagged):
    """From now on every generation that is created is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingCompleted(Untagged):
    """Those that were open before are counted too: from now on the counts are exact."""


CountedEvent = CountingStarted | CountingCompleted | UseHeld | UseExtended | UseReleased | UseExpired


class Counts(Mapping[str, int]):
    """How many there are of each unit: an immutable map, of as many units as users, of which each event changes a few.

    What is not in it is 0.
    """

    __slots__ = ("_by_unit",)
    PLAIN: ClassVar[Any] = dict[str, int]  # the type of `plain`

    def __init__(self, by_unit: Any = None) -> None:
        """`by_unit`: a `Many`; None for nothing."""
        self._by_unit = Many() if by_unit is None else by_unit

    def changed(self, amounts: Amounts, sign: int) -> "Counts":
        """With these amounts more, or less where `sign` is -1."""
        counts = self._by_unit
        for unit, amount in amounts.items():
            left = counts.get(unit, 0) + sign * amount
            counts = with_entry(counts, unit, left) if left else without_entry(counts, unit)
        return Counts(counts)

    def plain(self) -> dict[str, int]:
        """As snapshots have it."""
        return dict(self._by_unit.items())

    @classmethod
    def of_plain(cls, plain: dict[str, int]) -> "Counts":
        """The counts of a snapshot."""
        return cls(Many(plain))

    def __getitem__(self, unit: str) -> int:
        found: int = self._by_unit[unit]
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_unit)

    def __len__(self) -> int:
        return len(self._by_unit)


class Counted(NamedTuple):
    """The holds of all open generations, and how many they are in all, by unit: of a user, a group, a model."""

    quota: Quota = Quota()
    counts: Counts = Counts()
    started: bool = False
    complete: bool = False


def evolve(counted: Counted, event: CountedEvent) -> Counted:
    """Apply one event."""
    match event:
        case CountingStarted():
            return counted._replace(started=True)
        case CountingCompleted():
            return counted._replace(complete=True)
        case UseHeld(amounts=amounts):
            counts = counted.counts.changed(amounts, 1)
        case UseReleased(amounts=amounts) | UseExpired(amounts=amounts):
            counts = counted.counts.changed(amounts, -1)
        case UseExtended():
            counts = counted.counts
    quota = evolve_quota(counted.quota, event)._replace(held={})  # the sums are in `counts`
    return counted._replace(quota=quota, counts=counts)


def stream_of(resource: str) -> str:
    """The stream of a resource that is counted."""
    return PREFIX + resource


def counted_of(work: Work, resource: str) -> Counted:
    """What is counted of a resource, as a decision sees it."""
    counted: Counted = work.state(stream_of(resource))
    return counted


MODULE = Module(
    kinds={PREFIX: kind(Counted(), evolve)},
    events={"counting-started.v1": CountingStarted, "counting-completed.v1": CountingCompleted},
)
