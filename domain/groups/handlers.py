"""How commands and questions on groups are handled: which streams they see."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from domain.execution import Answerer, Handler, View
from domain.groups.create import CreateGroup, create
from domain.groups.delete import DeleteGroup, delete
from domain.groups.edit import EditGroup, edit
from domain.groups.members import AddMembers, RemoveMembers, add_members, remove_members
from domain.groups.now import GroupNow, GroupUse, group_use
from domain.groups.room import Room, group_streams
from domain.groups.state import Memberships, memberships_of, stream_of
from domain.groups.track import TightestGroup, TrackGeneration, tightest_group, track
from domain.organisations import state as organisations


def _group(command: Any) -> tuple[str, ...]:
    return (stream_of(command.group_id),)


def _group_and_users(command: AddMembers | RemoveMembers) -> tuple[str, ...]:
    users = dict.fromkeys(command.users)
    return (stream_of(command.group_id), *(memberships_of(user) for user in users))


def _user(command: TrackGeneration | TightestGroup) -> tuple[str, ...]:
    """The organisation is there for its time zone."""
    return (memberships_of(command.user), organisations.STREAM)


def _groups_of_user(view: View, command: TrackGeneration | TightestGroup) -> tuple[str, ...]:
    return group_streams(view, command.user)


def _members(view: View, command: DeleteGroup) -> tuple[str, ...]:
    return tuple(memberships_of(user) for user in sorted(view.state(stream_of(command.group_id)).members))


def _zone(view: View) -> str:
    organisation: organisations.Organisation = view.state(organisations.STREAM)
    return organisation.time_zone


def _alone(decide: Callable[..., Iterable[Any]]) -> Handler:
    """The handler of a command that one group's state decides."""

    def run(view: View, command: Any, now: datetime) -> Iterable[tuple[str, Any]]:
        stream = stream_of(command.group_id)
        return [(stream, event) for event in decide(view.state(stream), command, now)]

    return Handler(_group, run)


def _delete(view: View, command: DeleteGroup, now: datetime) -> Iterable[tuple[str, Any]]:
    return delete(view.state(stream_of(command.group_id)), command, now)


def _add_members(view: View, command: AddMembers, _now: datetime) -> Iterable[tuple[str, Any]]:
    def memberships(user: str) -> Memberships:
        found: Memberships = view.state(memberships_of(user))
        return found

    return add_members(view.state(stream_of(command.group_id)), memberships, command)


def _remove_members(view: View, command: RemoveMembers, _now: datetime) -> Iterable[tuple[str, Any]]:
    return remove_members(view.state(stream_of(command.group_id)), command)


def _tightest(view: View, command: TrackGeneration, _now: datetime) -> Room | None:
    return tightest_group(view, TightestGroup(user=command.user, what=command.what))


def _track(view: View, command: TrackGeneration, now: datetime) -> Iterable[tuple[str, Any]]:
    return track(view, command, _zone(view), now)


def _group_now(view: View, question: GroupNow, now: datetime) -> GroupUse:
    return group_use(view.state(stream_of(question.group_id)), question, _zone(view), now)


def _tightest_group(view: View, question: TightestGroup, _now: datetime) -> Room | None:
    return tightest_group(view, question)


HANDLERS: dict[type, Handler] = {
    CreateGroup: _alone(create),
    EditGroup: _alone(edit),
    DeleteGroup: Handler(_group, _delete, further=_members),
    AddMembers: Handler(_group_and_users, _add_members),
    RemoveMembers: Handler(_group_and_users, _remove_members),
    TrackGeneration: Handler(_user, _track, further=_groups_of_user, left=_tightest),
}

ANSWERERS: dict[type, Answerer] = {
    GroupNow: Answerer(lambda question: (stream_of(question.group_id), organisations.STREAM), _group_now),
    TightestGroup: Answerer(_user, _tightest_group, further=_groups_of_user),
}
