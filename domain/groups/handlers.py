"""How commands and questions on groups are handled: which streams they see."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from domain.groups.create import CreateGroup, create
from domain.groups.delete import DeleteGroup, delete
from domain.groups.edit import EditGroup, edit
from domain.groups.events import EVENTS
from domain.groups.members import AddMembers, RemoveMembers, add_members, remove_members
from domain.groups.now import GroupNow, GroupUse, group_use
from domain.groups.room import Room, group_streams
from domain.groups.state import (
    MEMBERSHIPS,
    PREFIX,
    Group,
    Memberships,
    evolve,
    evolve_memberships,
    memberships_of,
    stream_of,
)
from domain.groups.track import TightestGroup, TrackGeneration, tightest_group, track
from domain.kernel.domain import Answerer, Decider, Module, timeless
from domain.kernel.work import StreamKind, Work
from domain.organisations import state as organisations
from domain.quotas import quota as quotas


def _group(command: Any) -> tuple[str, ...]:
    return (stream_of(command.group_id),)


def _group_and_users(command: AddMembers | RemoveMembers) -> tuple[str, ...]:
    users = dict.fromkeys(command.users)
    return (stream_of(command.group_id), *(memberships_of(user) for user in users))


def _user(command: TrackGeneration | TightestGroup) -> tuple[str, ...]:
    """The organisation is there for its time zone."""
    return (memberships_of(command.user), organisations.STREAM)


def _groups_of_user(work: Work, command: TrackGeneration | TightestGroup) -> tuple[str, ...]:
    return group_streams(work, command.user)


def _members(work: Work, command: DeleteGroup) -> tuple[str, ...]:
    return tuple(memberships_of(user) for user in sorted(work.state(stream_of(command.group_id)).members))


def _zone(work: Work) -> str:
    organisation: organisations.Organisation = work.state(organisations.STREAM)
    return organisation.time_zone


def _alone(decide: Callable[..., Iterable[Any]]) -> Decider:
    """The handler of a command that one group's state decides."""

    def run(work: Work, command: Any, now: datetime) -> Iterable[tuple[str, Any]]:
        stream = stream_of(command.group_id)
        return [(stream, event) for event in decide(work.state(stream), command, now)]

    return Decider(_group, run)


def _delete(work: Work, command: DeleteGroup, now: datetime) -> Iterable[tuple[str, Any]]:
    return delete(work.state(stream_of(command.group_id)), command, now)


def _add_members(work: Work, command: AddMembers, _now: datetime) -> Iterable[tuple[str, Any]]:
    def memberships(user: str) -> Memberships:
        found: Memberships = work.state(memberships_of(user))
        return found

    return add_members(work.state(stream_of(command.group_id)), memberships, command)


def _remove_members(work: Work, command: RemoveMembers, _now: datetime) -> Iterable[tuple[str, Any]]:
    return remove_members(work.state(stream_of(command.group_id)), command)


def _tightest(work: Work, command: TrackGeneration, _now: datetime) -> Room | None:
    return tightest_group(work, TightestGroup(user=command.user, what=command.what))


def _track(work: Work, command: TrackGeneration, now: datetime) -> Iterable[tuple[str, Any]]:
    return track(work, command, _zone(work), now)


def _group_now(work: Work, question: GroupNow, now: datetime) -> GroupUse:
    return group_use(work.state(stream_of(question.group_id)), question, _zone(work), now)


def _tightest_group(work: Work, question: TightestGroup, _now: datetime) -> Room | None:
    return tightest_group(work, question)


DECIDERS: dict[type, Decider] = {
    CreateGroup: _alone(create),
    EditGroup: _alone(edit),
    DeleteGroup: Decider(_group, _delete, streams_from_state=_members),
    AddMembers: Decider(_group_and_users, _add_members),
    RemoveMembers: Decider(_group_and_users, _remove_members),
    TrackGeneration: Decider(_user, _track, streams_from_state=_groups_of_user, result_state=_tightest),
}

ANSWERERS: dict[type, Answerer] = {
    GroupNow: Answerer(lambda question: (stream_of(question.group_id), organisations.STREAM), _group_now),
    TightestGroup: Answerer(_user, _tightest_group, streams_from_state=_groups_of_user),
}

KINDS: dict[str, StreamKind] = {
    PREFIX: quotas.kind(Group(), evolve),
    MEMBERSHIPS: timeless(Memberships(), evolve_memberships, lambda state: len(state.groups)),
}


MODULE = Module(deciders=DECIDERS, answerers=ANSWERERS, kinds=KINDS, events=EVENTS)
