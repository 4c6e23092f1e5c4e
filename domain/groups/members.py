"""Add users to a group and remove them, one or many in one decision (S1)."""

from dataclasses import dataclass

from domain.groups.events import GroupJoined, GroupLeft, MembersAdded, MembersRemoved
from domain.groups.refusals import TooManyGroups, TooManyMembers
from domain.groups.rules import existing
from domain.groups.state import MAX_GROUPS, MAX_MEMBERS, group_of, groups_joined, memberships_of, stream_of
from domain.kernel.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMembers:
    """Add these users; who is in the group already stays in it."""

    group_id: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMembers:
    """Remove these users; who is not in the group stays out of it."""

    group_id: str
    users: tuple[str, ...]


def add_members(work: Work, command: AddMembers) -> None:
    """Nothing happens where nobody is new. Raises NoSuchGroup, TooManyMembers, TooManyGroups."""
    group = group_of(work, command.group_id)
    existing(group, command.group_id)
    new = tuple(user for user in dict.fromkeys(command.users) if user not in group.members)
    if len(group.members) + len(new) > MAX_MEMBERS:
        raise TooManyMembers(group_id=command.group_id, limit=MAX_MEMBERS)
    for user in new:
        if len(groups_joined(work, user)) >= MAX_GROUPS:
            raise TooManyGroups(user=user, limit=MAX_GROUPS)
    if not new:
        return
    work.emit(stream_of(command.group_id), MembersAdded(group_id=command.group_id, users=new))
    for user in new:
        work.emit(memberships_of(user), GroupJoined(group_id=command.group_id))


def remove_members(work: Work, command: RemoveMembers) -> None:
    """Nothing happens where nobody was in the group. Raises NoSuchGroup."""
    group = group_of(work, command.group_id)
    existing(group, command.group_id)
    gone = tuple(user for user in dict.fromkeys(command.users) if user in group.members)
    if not gone:
        return
    work.emit(stream_of(command.group_id), MembersRemoved(group_id=command.group_id, users=gone))
    for user in gone:
        work.emit(memberships_of(user), GroupLeft(group_id=command.group_id))
