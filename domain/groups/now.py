"""How much room a group leaves now, and all groups of a user: every group's limit holds (S1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from domain.groups.state import Group, existing, group_of, groups_joined, stream_of
from domain.kernel.work import Work
from domain.periods import Every, Period
from domain.quotas.quota import running


class Room(NamedTuple):
    """Of one group and one thing that it counts; `used` includes what is held, no `limit` is unlimited."""

    group_id: str
    what: str
    limit: int | None
    used: int

    @property
    def remaining(self) -> int | None:
        """What may still be used, none for unlimited; 0 where more was used than a later limit allows."""
        return None if self.limit is None else max(0, self.limit - self.used)

    def has(self, count: int) -> bool:
        """Whether there is room for so many; exactly enough is enough."""
        return self.limit is None or self.used + count <= self.limit


def group_streams(work: Work, user: str) -> tuple[str, ...]:
    """The streams of the groups that a user is in: what a decider must see beside."""
    return tuple(stream_of(group_id) for group_id in groups_joined(work, user))


def groups_of(work: Work, user: str) -> tuple[tuple[str, Group], ...]:
    """The groups that a user is in, with their ids, oldest membership first; deleted ones have no members."""
    return tuple((group_id, group_of(work, group_id)) for group_id in groups_joined(work, user))


def room_of(group_id: str, group: Group, what: str) -> Room:
    """The room that one group leaves for what it counts."""
    return Room(group_id, what, group.limit(what), group.quota.taken(what))


def tightest(rooms: Iterable[Room]) -> Room | None:
    """The room with least left, unlimited ones last, the first of equals; none where there are none."""
    return min(rooms, key=lambda room: (room.remaining is None, room.remaining or 0), default=None)


YELLOW_FROM, RED_FROM = 75, 90  # percent of a limit


class Status(StrEnum):
    """How full a group is, by its fullest limit: green below 75 %, yellow below 90 %, red from 90 %."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNow:
    """Ask for a group."""

    group_id: str


class GroupUse(NamedTuple):
    """A group with its current period, none for `total`; `rooms` say what is used and left of all that it counts."""

    group: Group
    period: Period | None
    rooms: dict[str, Room]
    status: Status


def group_use(group: Group, question: GroupNow, zone: str, now: datetime) -> GroupUse:
    """The answer to `GroupNow`; a period in which nothing was used yet is shown as it would begin. Raises NoSuchGroup.

    Images and videos are always among the rooms, whether limited or not.
    """
    existing(group, question.group_id)
    quota = group.quota
    counted = ("image", "video", *group.limits, *quota.used, *quota.held)
    rooms = {what: room_of(question.group_id, group, what) for what in counted}
    period = None if group.every is Every.TOTAL else running(quota, group.every, zone, now)
    return GroupUse(group, period, rooms, max_status(tuple(rooms.values())))


def status(used: int, limit: int | None) -> Status:
    """How full one limit is; a limit of 0 is full, no limit never is."""
    if limit is None or used * 100 < limit * YELLOW_FROM:
        return Status.GREEN
    return Status.YELLOW if used * 100 < limit * RED_FROM else Status.RED


def max_status(rooms: tuple[Room, ...]) -> Status:
    """The status of the fullest limit."""
    found = {status(room.used, room.limit) for room in rooms}
    return next((worst for worst in (Status.RED, Status.YELLOW) if worst in found), Status.GREEN)
