"""How much room a user's groups leave: every group's limit holds (S1)."""

from collections.abc import Iterable
from typing import NamedTuple

from domain.groups.state import Group, group_of, groups_joined, stream_of
from domain.kernel.work import Work


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
