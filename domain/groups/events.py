"""Facts about groups and who is in them. Use is in the events of `domain.quotas`, on the group's stream."""

from dataclasses import dataclass

from domain.periods import Every
from domain.quotas.events import QuotaEvent

Limits = dict[str, int]  # by what is counted: `image`, `video`, `tokens.{type}`; what is missing is unlimited


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCreated:
    """A group exists; 0 blocks, what `limits` does not name is unlimited."""

    group_id: str
    name: str
    description: str
    limits: Limits
    every: Every

    @property
    def tag(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEdited:
    """Name, description, limits and period, all of them, as they are from now on. Use stays as it was recorded."""

    group_id: str
    name: str
    description: str
    limits: Limits
    every: Every

    @property
    def tag(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDeleted:
    """The group is gone; its members are free of its limits."""

    group_id: str

    @property
    def tag(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersAdded:
    """These users are in the group from now on."""

    group_id: str
    users: tuple[str, ...]

    @property
    def tag(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersRemoved:
    """These users are no longer in the group."""

    group_id: str
    users: tuple[str, ...]

    @property
    def tag(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupJoined:
    """On the user's stream: the user is in this group too."""

    group_id: str

    @property
    def tag(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLeft:
    """On the user's stream: the user is no longer in this group."""

    group_id: str

    @property
    def tag(self) -> None:
        return None


GroupEvent = GroupCreated | GroupEdited | GroupDeleted | MembersAdded | MembersRemoved | QuotaEvent
MembershipEvent = GroupJoined | GroupLeft
