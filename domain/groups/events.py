"""Facts about groups and who is in them. Use is in the events of `domain.quotas`, on the group's stream."""

from dataclasses import dataclass, field

from domain.periods import Every
from domain.quotas.events import QuotaEvent
from domain.settings.setting import Values
from domain.untagged import Untagged

Limits = dict[str, int]  # by what is counted: `image`, `video`, `tokens.{type}`; what is missing is unlimited


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCreated(Untagged):
    """A group exists; 0 blocks, what `limits` does not name is unlimited. `settings`: what resources declare."""

    group_id: str
    name: str
    description: str
    limits: Limits
    every: Every
    settings: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEdited(Untagged):
    """Name, description, limits, period and settings, all as they are from now on. Use stays as it was recorded."""

    group_id: str
    name: str
    description: str
    limits: Limits
    every: Every
    settings: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDeleted(Untagged):
    """The group is gone; its members are free of its limits."""

    group_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersAdded(Untagged):
    """These users are in the group from now on."""

    group_id: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersRemoved(Untagged):
    """These users are no longer in the group."""

    group_id: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupJoined(Untagged):
    """On the user's stream: the user is in this group too."""

    group_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLeft(Untagged):
    """On the user's stream: the user is no longer in this group."""

    group_id: str


GroupEvent = GroupCreated | GroupEdited | GroupDeleted | MembersAdded | MembersRemoved | QuotaEvent
MembershipEvent = GroupJoined | GroupLeft

EVENTS: dict[str, type] = {  # by stored name, which never changes
    "group-created.v1": GroupCreated,
    "group-edited.v1": GroupEdited,
    "group-deleted.v1": GroupDeleted,
    "members-added.v1": MembersAdded,
    "members-removed.v1": MembersRemoved,
    "group-joined.v1": GroupJoined,
    "group-left.v1": GroupLeft,
}
