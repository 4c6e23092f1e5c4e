"""Where a group stands at this moment (S1)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from domain.groups.room import Room, room_of
from domain.groups.rules import existing
from domain.groups.state import Group
from domain.periods import Every, Period
from domain.quotas.quota import running

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
