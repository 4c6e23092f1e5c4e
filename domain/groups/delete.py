"""Delete a group (S1)."""

from dataclasses import dataclass
from datetime import datetime

from domain.groups.events import GroupDeleted, GroupLeft
from domain.groups.rules import existing
from domain.groups.state import Group, memberships_of, stream_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteGroup:
    """Delete the group for good; its history stays."""

    group_id: str


def delete(group: Group, command: DeleteGroup, _now: datetime) -> tuple[tuple[str, GroupDeleted | GroupLeft], ...]:
    """Events by stream: every member leaves. What is held for generations that run ends with them as ever.

    Raises NoSuchGroup.
    """
    existing(group, command.group_id)
    left = GroupLeft(group_id=command.group_id)
    return (
        (stream_of(command.group_id), GroupDeleted(group_id=command.group_id)),
        *((memberships_of(user), left) for user in sorted(group.members)),
    )
