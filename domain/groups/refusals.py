"""Every way in which a command on a group can be refused."""

from domain.refusal import InvalidValue, Refusal, RefusalKind


class NoSuchGroup(Refusal, code="not_found", kind=RefusalKind.MISSING):
    """There never was such a group, or it is deleted."""

    group_id: str

    def __str__(self) -> str:
        return f"There is no group {self.group_id}."


class GroupExists(Refusal, code="exists", kind=RefusalKind.CONFLICT):
    """The id is taken, perhaps by a group that is deleted: ids are not used again."""

    group_id: str

    def __str__(self) -> str:
        return f"There is, or was, a group {self.group_id} already."


class InvalidGroup(InvalidValue, Refusal, code="invalid_group"):
    """A value that a group cannot have; `limit` is the most that is possible, where there is one."""


class TooManyMembers(Refusal, code="too_many_members", kind=RefusalKind.CONFLICT):
    """A group has reached its bound (architecture, "Bounded state")."""

    group_id: str
    limit: int

    def __str__(self) -> str:
        return f"The group {self.group_id} may have at most {self.limit} members."


class TooManyGroups(Refusal, code="too_many_groups", kind=RefusalKind.CONFLICT):
    """A user is in as many groups as one may be."""

    user: str
    limit: int

    def __str__(self) -> str:
        return f"The user {self.user} may be in at most {self.limit} groups."


class GroupLimit(Refusal, code="group_limit", kind=RefusalKind.SHORT):
    """A group has no room for the use. `used` includes what is held; `what`: `image`, `video`, `tokens.{type}`."""

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
