"""Every way in which a command on a group can be refused."""

from dataclasses import dataclass
from typing import ClassVar

from domain.refusal import InvalidValue, Refusal, RefusalKind


@dataclass(unsafe_hash=True)
class NoSuchGroup(Refusal):
    """There never was such a group, or it is deleted."""

    code: ClassVar[str] = "not_found"
    kind: ClassVar[RefusalKind] = RefusalKind.MISSING
    group_id: str

    def __str__(self) -> str:
        return f"There is no group {self.group_id}."


@dataclass(unsafe_hash=True)
class GroupExists(Refusal):
    """The id is taken, perhaps by a group that is deleted: ids are not used again."""

    code: ClassVar[str] = "exists"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    group_id: str

    def __str__(self) -> str:
        return f"There is, or was, a group {self.group_id} already."


@dataclass(unsafe_hash=True)
class InvalidGroup(InvalidValue, Refusal):
    """A value that a group cannot have; `limit` is the most that is possible, where there is one."""

    code: ClassVar[str] = "invalid_group"


@dataclass(unsafe_hash=True)
class TooManyMembers(Refusal):
    """A group has reached its bound (architecture, "Bounded state")."""

    code: ClassVar[str] = "too_many_members"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    group_id: str
    limit: int

    def __str__(self) -> str:
        return f"The group {self.group_id} may have at most {self.limit} members."


@dataclass(unsafe_hash=True)
class TooManyGroups(Refusal):
    """A user is in as many groups as one may be."""

    code: ClassVar[str] = "too_many_groups"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    user: str
    limit: int

    def __str__(self) -> str:
        return f"The user {self.user} may be in at most {self.limit} groups."


@dataclass(unsafe_hash=True)
class GroupLimit(Refusal):
    """A group has no room for the use. `used` includes what is held; `what`: `image`, `video`, `tokens.{type}`."""

    code: ClassVar[str] = "group_limit"
    kind: ClassVar[RefusalKind] = RefusalKind.SHORT
    group_id: str
    what: str
    limit: int
    used: int
    remaining: int

    def __str__(self) -> str:
        what = f"{self.what.removeprefix('tokens.')} token" if self.what.startswith("tokens.") else self.what
        return (
            f"The {what} limit of the group {self.group_id} is reached: "
            f"{self.used} of {self.limit} are used, {self.remaining} are left."
        )
