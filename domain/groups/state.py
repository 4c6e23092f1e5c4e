"""What decisions need to know of a group and of the groups of a user, and which values a group may have."""

from typing import NamedTuple

from domain.groups.events import (
    GroupCreated,
    GroupDeleted,
    GroupEdited,
    GroupEvent,
    GroupJoined,
    GroupLeft,
    Limits,
    MembersAdded,
    MembershipEvent,
    MembersRemoved,
)
from domain.groups.refusals import InvalidGroup, NoSuchGroup
from domain.kernel.work import Work
from domain.periods import Every
from domain.quotas.quota import Quota
from domain.quotas.quota import evolve as evolve_quota
from domain.settings.setting import Values

PREFIX = "group/"
MEMBERSHIPS = "memberships/"
MAX_MEMBERS = 10_000  # of one group
MAX_GROUPS = 100  # of one user


class Group(NamedTuple):
    """A group with its limits, its members (as keys) and the use of the current period."""

    exists: bool = False
    deleted: bool = False
    name: str = ""
    description: str = ""
    limits: Limits = {}  # noqa: RUF012 - never changed in place
    every: Every = Every.TOTAL
    members: dict[str, bool] = {}  # noqa: RUF012 - never changed
    quota: Quota = Quota()
    settings: Values = {}  # noqa: RUF012 - never changed in place

    @property
    def live(self) -> bool:
        """Whether its limits hold."""
        return self.exists and not self.deleted

    def limit(self, what: str) -> int | None:
        """The limit for what is counted, none for unlimited."""
        return self.limits.get(what)


class Memberships(NamedTuple):
    """The groups that a user is in, oldest first."""

    groups: tuple[str, ...] = ()


def stream_of(group_id: str) -> str:
    """The stream of a group."""
    return PREFIX + group_id


def memberships_of(user: str) -> str:
    """The stream that says which groups a user is in."""
    return MEMBERSHIPS + user


def evolve(group: Group, event: GroupEvent) -> Group:
    """Apply one event."""
    match event:
        case GroupCreated() | GroupEdited():
            return group._replace(
                exists=True,
                name=event.name,
                description=event.description,
                limits=event.limits,
                every=event.every,
                settings=event.settings,
            )
        case GroupDeleted():
            return group._replace(deleted=True, members={})
        case MembersAdded():
            return group._replace(members=group.members | dict.fromkeys(event.users, True))
        case MembersRemoved():
            gone = frozenset(event.users)
            return group._replace(members={user: True for user in group.members if user not in gone})
        case _:
            return group._replace(quota=evolve_quota(group.quota, event))


def evolve_memberships(memberships: Memberships, event: MembershipEvent) -> Memberships:
    """Apply one event of a user's memberships."""
    match event:
        case GroupJoined():
            return Memberships((*memberships.groups, event.group_id))
        case GroupLeft():
            return Memberships(tuple(group for group in memberships.groups if group != event.group_id))


def group_of(work: Work, group_id: str) -> Group:
    """A group, as a decision sees it."""
    return group_on(work, stream_of(group_id))


def group_on(work: Work, stream: str) -> Group:
    """The group of a stream."""
    group: Group = work.state(stream)
    return group


def groups_joined(work: Work, user: str) -> tuple[str, ...]:
    """The ids of the groups that a user is in, oldest membership first; deleted ones have no members."""
    memberships: Memberships = work.state(memberships_of(user))
    return memberships.groups


MAX_LIMIT = 10**12
MAX_LIMITS = 100  # things that one group limits
MAX_NAME = 255
MAX_DESCRIPTION = 2_000

GENERATIONS = frozenset({"image", "video"})
TOKENS = "tokens."


def existing(group: Group, group_id: str) -> Group:
    """The group, or a refusal. Raises NoSuchGroup."""
    if not group.live:
        raise NoSuchGroup(group_id=group_id)
    return group


def check_texts(name: str, description: str) -> None:
    """A name is 1 to 255 characters, a description at most 2,000. Raises InvalidGroup."""
    if not name.strip() or len(name) > MAX_NAME:
        raise InvalidGroup(field="name", reason=f"must have 1 to {MAX_NAME} characters", limit=MAX_NAME)
    if len(description) > MAX_DESCRIPTION:
        reason = f"must have at most {MAX_DESCRIPTION} characters"
        raise InvalidGroup(field="description", reason=reason, limit=MAX_DESCRIPTION)


def check_limits(limits: Limits) -> None:
    """Limits are 0 (blocks) to 10^12, for images, videos and types of tokens. Raises InvalidGroup."""
    for what, limit in limits.items():
        if what not in GENERATIONS and (not what.startswith(TOKENS) or what == TOKENS):
            raise InvalidGroup(field=what, reason="is nothing that a group limits")
        if not 0 <= limit <= MAX_LIMIT:
            raise InvalidGroup(field=f"{what}_limit", reason=f"must be from 0 to {MAX_LIMIT}", limit=MAX_LIMIT)
    if len(limits) > MAX_LIMITS:
        raise InvalidGroup(field="limits", reason=f"must be at most {MAX_LIMITS}", limit=MAX_LIMITS)
