"""How commands and questions on groups are handled: which streams they see."""

from typing import Any

from domain.groups.create import CreateGroup, create
from domain.groups.delete import DeleteGroup, delete
from domain.groups.edit import EditGroup, edit
from domain.groups.events import EVENTS
from domain.groups.members import AddMembers, RemoveMembers, add_members, remove_members
from domain.groups.now import GroupNow, GroupUse, group_use
from domain.groups.room import group_streams
from domain.groups.state import (
    MEMBERSHIPS,
    PREFIX,
    Group,
    Memberships,
    evolve,
    evolve_memberships,
    group_of,
    memberships_of,
    stream_of,
)
from domain.groups.track import TightestGroup, TrackGeneration, tightest_group, track
from domain.kernel.domain import Answerer, Decider, Module, timeless
from domain.kernel.work import StreamKind, Work
from domain.organisations.state import STREAM as ORGANISATION
from domain.organisations.state import organisation_of
from domain.quotas import quota as quotas


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


DECIDERS: dict[type, Decider] = {
    CreateGroup: Decider(_group, create),
    EditGroup: Decider(_group, edit),
    DeleteGroup: Decider(_group, delete, streams_from_state=_members),
    AddMembers: Decider(_group_and_users, add_members),
    RemoveMembers: Decider(_group_and_users, remove_members),
    TrackGeneration: Decider(_user, track, streams_from_state=_groups_of_user, result_state=tightest_group),
}

ANSWERERS: dict[type, Answerer] = {
    GroupNow: Answerer(lambda question: (stream_of(question.group_id), ORGANISATION), _group_now),
    TightestGroup: Answerer(_user, tightest_group, streams_from_state=_groups_of_user),
}

KINDS: dict[str, StreamKind] = {
    PREFIX: quotas.kind(Group(), evolve),
    MEMBERSHIPS: timeless(Memberships(), evolve_memberships, lambda state: len(state.groups)),
}


MODULE = Module(deciders=DECIDERS, answerers=ANSWERERS, kinds=KINDS, events=EVENTS)
