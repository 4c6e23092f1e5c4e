"""Add users to a group and remove them, one or many in one decision (S1)."""

from collections.abc import Callable
from dataclasses import dataclass

from domain.groups.events import GroupJoined, GroupLeft, MembersAdded, MembersRemoved
from domain.groups.refusals import TooManyGroups, TooManyMembers
from domain.groups.rules import existing
from domain.groups.state import MAX_GROUPS, MAX_MEMBERS, Group, Memberships, memberships_of, stream_of

Joining = tuple[tuple[str, MembersAdded | GroupJoined], ...]
Leaving = tuple[tuple[str, MembersRemoved | GroupLeft], ...]


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


def add_members(group: Group, memberships: Callable[[str], Memberships], command: AddMembers) -> Joining:
    """Events by stream; none where nobody is new. `memberships`: the groups of each of the users.

    Raises NoSuchGroup, TooManyMembers, TooManyGroups.
    """
    existing(group, command.group_id)
    new = tuple(user for user in dict.fromkeys(command.users) if user not in group.members)
    if len(group.members) + len(new) > MAX_MEMBERS:
        raise TooManyMembers(group_id=command.group_id, limit=MAX_MEMBERS)
    for user in new:
        if len(memberships(user).groups) >= MAX_GROUPS:
            raise TooManyGroups(user=user, limit=MAX_GROUPS)
    if not new:
        return ()
    joined = GroupJoined(group_id=command.group_id)
    return (
        (stream_of(command.group_id), MembersAdded(group_id=command.group_id, users=new)),
        *((memberships_of(user), joined) for user in new),
    )


def remove_members(group: Group, command: RemoveMembers) -> Leaving:
    """Events by stream; none where nobody was in the group. Raises NoSuchGroup."""
    existing(group, command.group_id)
    gone = tuple(user for user in dict.fromkeys(command.users) if user in group.members)
    if not gone:
        return ()
    left = GroupLeft(group_id=command.group_id)
    return (
        (stream_of(command.group_id), MembersRemoved(group_id=command.group_id, users=gone)),
        *((memberships_of(user), left) for user in gone),
    )
