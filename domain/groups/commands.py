"""The commands on groups, each with its decision (S1). The tables at the end say what each decision sees."""

from dataclasses import dataclass, field
from typing import Any

from domain.groups.events import (
    EVENTS,
    GroupCreated,
    GroupDeleted,
    GroupEdited,
    GroupJoined,
    GroupLeft,
    Limits,
    MembersAdded,
    MembersRemoved,
)
from domain.groups.now import GroupNow, GroupUse, Room, group_streams, group_use, groups_of, room_of, tightest
from domain.groups.refusals import GroupExists, GroupLimit, InvalidGroup, TooManyGroups, TooManyMembers
from domain.groups.state import (
    GENERATIONS,
    MAX_GROUPS,
    MAX_LIMIT,
    MAX_MEMBERS,
    MEMBERSHIPS,
    PREFIX,
    Group,
    Memberships,
    check_limits,
    check_texts,
    evolve,
    evolve_memberships,
    existing,
    group_of,
    groups_joined,
    memberships_of,
    stream_of,
)
from domain.kernel.domain import Answerer, Decider, Module, timeless
from domain.kernel.work import Work
from domain.organisations.state import STREAM as ORGANISATION
from domain.organisations.state import organisation_of
from domain.periods import Every
from domain.quotas import quota as quotas
from domain.quotas.events import UseCounted
from domain.quotas.quota import begin, fits, restarted
from domain.settings.change import Given, changed
from domain.settings.setting import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateGroup:
    """`limits` 0 (blocks) to 10^12 by `image`, `video`, `tokens.{type}`; what they do not name is unlimited.

    `settings`: those of the group that resources declare.
    """

    group_id: str
    name: str
    description: str = ""
    limits: Limits = field(default_factory=dict)
    every: Every = Every.TOTAL
    settings: Given = field(default_factory=dict)


def create(work: Work, command: CreateGroup) -> None:
    """The id of a deleted group is not used again, for its history stays. Raises GroupExists, InvalidGroup,
    InvalidSetting, NotCounted.
    """
    check_texts(command.name, command.description)
    check_limits(command.limits)
    if group_of(work, command.group_id).exists:
        raise GroupExists(group_id=command.group_id)
    created = GroupCreated(
        group_id=command.group_id,
        name=command.name,
        description=command.description,
        limits=command.limits,
        every=command.every,
        settings=changed(work, Owner.GROUP, {}, command.settings),
    )
    work.emit(stream_of(command.group_id), created)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditGroup:
    """What is none stays as it is. `limits` and `settings` are changes: a number sets one, None removes it."""

    group_id: str
    name: str | None = None
    description: str | None = None
    limits: dict[str, int | None] = field(default_factory=dict)
    every: Every | None = None
    settings: Given = field(default_factory=dict)


def edit(work: Work, command: EditGroup) -> None:
    """Recorded use stays as it is (S1), also above a new limit; only another kind of period resets it.

    Raises NoSuchGroup, InvalidGroup, InvalidSetting, NotCounted.
    """
    stream, group = stream_of(command.group_id), group_of(work, command.group_id)
    existing(group, command.group_id)
    limits: dict[str, int | None] = {**group.limits, **command.limits}
    edited = GroupEdited(
        group_id=command.group_id,
        name=group.name if command.name is None else command.name,
        description=group.description if command.description is None else command.description,
        limits={what: limit for what, limit in limits.items() if limit is not None},
        every=command.every or group.every,
        settings=changed(work, Owner.GROUP, group.settings, command.settings),
    )
    check_texts(edited.name, edited.description)
    check_limits(edited.limits)
    if edited.every is not group.every:
        work.emit(stream, restarted(group.quota, work.now))
    work.emit(stream, edited)


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
    """Emits nothing where all are members already. Raises NoSuchGroup, TooManyMembers, TooManyGroups."""
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
    """Emits nothing where no user was in the group. Raises NoSuchGroup."""
    group = group_of(work, command.group_id)
    existing(group, command.group_id)
    gone = tuple(user for user in dict.fromkeys(command.users) if user in group.members)
    if not gone:
        return
    work.emit(stream_of(command.group_id), MembersRemoved(group_id=command.group_id, users=gone))
    for user in gone:
        work.emit(memberships_of(user), GroupLeft(group_id=command.group_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackGeneration:
    """Count `count` (1 to 10^12) generations of a user; `what` is `image` or `video`."""

    user: str
    what: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TightestGroup:
    """Ask which of a user's groups has least left for what is counted, for example after a `TrackGeneration`."""

    user: str
    what: str


def track(work: Work, command: TrackGeneration) -> None:
    """Nothing happens for a user in no group, who is not limited. Raises InvalidGroup, and what `count_use` raises."""
    if command.what not in GENERATIONS:
        raise InvalidGroup(field="type", reason="must be image or video")
    if not 1 <= command.count <= MAX_LIMIT:
        raise InvalidGroup(field="count", reason=f"must be from 1 to {MAX_LIMIT}", limit=MAX_LIMIT)
    count_use(work, command.user, command.what, command.count)


def count_use(work: Work, user: str, what: str, count: int, ref: str | None = None) -> None:
    """Count `count` of what on all groups of the user, or on none where one has no room; that one is named.

    `ref`: what the use was for. Raises GroupLimit, TotalTooLarge.
    """
    groups = groups_of(work, user)
    rooms = (room_of(group_id, group, what) for group_id, group in groups)
    short = tightest(room for room in rooms if not room.has(count))
    if short is not None and short.limit is not None:
        raise GroupLimit(
            group_id=short.group_id,
            what=what,
            limit=short.limit,
            used=short.used,
            remaining=short.remaining or 0,
        )
    for _, group in groups:
        fits(group.quota, {what: count})
    zone = organisation_of(work).time_zone
    for group_id, group in groups:
        stream = stream_of(group_id)
        begin(work, stream, group.quota, group.every, zone)
        work.emit(stream, UseCounted(amounts={what: count}, user=user, ref=ref))


def tightest_group(work: Work, question: TightestGroup | TrackGeneration) -> Room | None:
    """The answer to `TightestGroup`, and what a `TrackGeneration` has left: none for a user in no group."""
    return tightest(room_of(group_id, group, question.what) for group_id, group in groups_of(work, question.user))


def _group(command: Any) -> tuple[str, ...]:
    return (stream_of(command.group_id),)


def _group_and_users(command: AddMembers | RemoveMembers) -> tuple[str, ...]:
    users = dict.fromkeys(command.users)
    return (stream_of(command.group_id), *(memberships_of(user) for user in users))


def _user(command: TrackGeneration | TightestGroup) -> tuple[str, ...]:
    """The organisation is there for its time zone."""
    return (memberships_of(command.user), ORGANISATION)


def _groups_of_user(work: Work, command: TrackGeneration | TightestGroup) -> tuple[str, ...]:
    return group_streams(work, command.user)


def _members(work: Work, command: DeleteGroup) -> tuple[str, ...]:
    return tuple(memberships_of(user) for user in sorted(group_of(work, command.group_id).members))


def _group_now(work: Work, question: GroupNow) -> GroupUse:
    return group_use(group_of(work, question.group_id), question, organisation_of(work).time_zone, work.now)


MODULE = Module(
    deciders={
        CreateGroup: Decider(_group, create),
        EditGroup: Decider(_group, edit),
        DeleteGroup: Decider(_group, delete, streams_from_state=_members),
        AddMembers: Decider(_group_and_users, add_members),
        RemoveMembers: Decider(_group_and_users, remove_members),
        TrackGeneration: Decider(_user, track, streams_from_state=_groups_of_user, result_state=tightest_group),
    },
    answerers={
        GroupNow: Answerer(lambda question: (stream_of(question.group_id), ORGANISATION), _group_now),
        TightestGroup: Answerer(_user, tightest_group, streams_from_state=_groups_of_user),
    },
    kinds={
        PREFIX: quotas.kind(Group(), evolve),
        MEMBERSHIPS: timeless(Memberships(), evolve_memberships, lambda state: len(state.groups)),
    },
    events=EVENTS,
)
