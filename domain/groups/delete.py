"""Delete a group (S1)."""

from dataclasses import dataclass

from domain.groups.events import GroupDeleted, GroupLeft
from domain.groups.rules import existing
from domain.groups.state import group_of, memberships_of, stream_of
from domain.kernel.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteGroup:
    """Delete the group for good; its history stays."""

    group_id: str


def delete(work: Work, command: DeleteGroup) -> None:
    """Every member leaves. What is held for generations that run ends with them as ever.

    Raises NoSuchGroup.
    """
    group = group_of(work, command.group_id)
    existing(group, command.group_id)
    work.emit(stream_of(command.group_id), GroupDeleted(group_id=command.group_id))
    for user in sorted(group.members):
        work.emit(memberships_of(user), GroupLeft(group_id=command.group_id))
