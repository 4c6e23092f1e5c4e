"""Groups with limits, who is in them, and counting what was generated elsewhere (S1)."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from api.answers import Answer
from api.commands.generations import NoBody
from api.fields import Body, Count, Id, Name
from api.group_answers import (
    created_answer,
    group_now,
    refused_answer,
    settings_tag,
    tracked_answer,
    use_answer,
)
from api.if_match import matched
from api.operation import Call, Operation
from api.schemas_groups import GroupAnswer, GroupDeletedAnswer, MembersAnswer, TrackAnswer
from api.services import Services
from api.setting_fields import given_settings, with_settings
from api.streams_room import Begins
from domain.groups.create import CreateGroup
from domain.groups.delete import DeleteGroup
from domain.groups.edit import EditGroup
from domain.groups.events import GroupDeleted, MembersAdded, MembersRemoved
from domain.groups.members import AddMembers, RemoveMembers
from domain.groups.rules import MAX_DESCRIPTION, MAX_NAME, TOKENS
from domain.groups.track import TrackGeneration
from domain.periods import Every
from domain.settings.setting import Owner
from domain.text import is_name
from infra.ids import uuid7
from infra.position import format_position
from infra.writer.submission import Outcome

MAX_USERS = 1_000  # in one call
MAX_MEMBERS_BODY = 327_680  # their ids, of 255 characters each
MAX_QUOTAS = 50
PATH = "/api/groups"
MEMBERS_PATH = "/api/group-members"


def _named(text: str) -> str:
    if not text.strip() or not is_name(text):
        raise ValueError("must have a visible character, and none that is a control or cannot be seen")
    return text


GroupName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(_named)]
Description = Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION)]
PeriodName = Annotated[
    Literal["total", "day", "week", "month"],
    Field(description="How often use starts anew, in the organisation's time zone; total: never."),
]
Quotas = Annotated[
    dict[Name, Count | None],
    Field(max_length=MAX_QUOTAS, description="Limits of plan tokens by type; null for unlimited."),
]


class _Limited(Body):
    """`image_limit`, `video_limit`: shared by the members; 0 blocks, null is unlimited."""

    image_limit: Count | None = None
    video_limit: Count | None = None
    token_quotas: Quotas = Field(default_factory=dict)

    @property
    def limits(self) -> dict[str, int | None]:
        """The limits that are given, by what is counted."""
        given: dict[str, int | None] = {f"{TOKENS}{type_}": limit for type_, limit in self.token_quotas.items()}
        for what in ("image", "video"):
            if f"{what}_limit" in self.model_fields_set:
                given[what] = getattr(self, f"{what}_limit")
        return given


class LimitsBody(_Limited):
    """Limits and a period to try: what is not given stays as it is; a limit of null is removed."""

    period: PeriodName | None = None


@with_settings(Owner.GROUP)
class GroupBody(_Limited):
    """A group; its members share the limits. `id`: the caller's own."""

    id: Id | None = None
    name: GroupName
    description: Description = ""
    period: PeriodName = "total"


@with_settings(Owner.GROUP)
class GroupChangeBody(_Limited):
    """What is not given stays as it is; a limit of null is removed. Recorded use stays, unless `period` changes."""

    name: GroupName = ""
    description: Description = ""
    period: PeriodName = "total"

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names nothing to change")
        return self

    def given(self, name: str) -> Any:
        """A field that is given, else none."""
        return getattr(self, name) if name in self.model_fields_set else None


class MembersBody(Body):
    """Users of the organisation, in one decision."""

    group_id: Id
    user_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_USERS)]


class TrackBody(Body):
    """One image or video of a user that was made without a generation of Scrip's own."""

    user_id: Id
    type: Literal["image", "video"]


def _create(_call: Call, body: GroupBody, _sealed: str | None) -> Any:
    return CreateGroup(
        group_id=body.id or uuid7(),
        name=body.name,
        description=body.description,
        limits={what: limit for what, limit in body.limits.items() if limit is not None},
        every=Every(body.period),
        settings=given_settings(body, Owner.GROUP),
    )


def _edit(call: Call, body: GroupChangeBody, _sealed: str | None) -> Any:
    every = body.given("period")
    return EditGroup(
        group_id=call.id,
        name=body.given("name"),
        description=body.given("description"),
        limits=body.limits,
        every=Every(every) if every else None,
        settings=given_settings(body, Owner.GROUP),
    )


async def _unchanged(services: Services, call: Call, _body: Any) -> Call:
    """Raises Problem (404, 412) where the caller has read the group as it no longer is."""
    if call.if_match is not None:
        matched(call, "group", settings_tag((await group_now(services, call, call.id)).value.group))
    return call


async def _as_it_is(services: Services, call: Call, _body: Any, _outcome: Outcome) -> Answer:
    return use_answer(call.id, await group_now(services, call, call.id))


def _deleted(outcome: Outcome) -> Answer:
    return {"id": outcome.one(GroupDeleted).group_id, "deleted": True, "position": format_position(outcome.position)}


async def _added(_services: Services, _call: Call, body: MembersBody, outcome: Outcome) -> Answer:
    new = {user for _, event in outcome.all(MembersAdded) for user in event.users}
    return _results(body, outcome, new, "added", "already_member")


async def _removed(_services: Services, _call: Call, body: MembersBody, outcome: Outcome) -> Answer:
    gone = {user for _, event in outcome.all(MembersRemoved) for user in event.users}
    return _results(body, outcome, gone, "removed", "not_a_member")


def _results(body: MembersBody, outcome: Outcome, changed: set[str], done: str, already: str) -> Answer:
    """Who is named twice has changed once."""
    results = []
    for user in body.user_ids:
        results.append({"user_id": user, "status": done if user in changed else already})
        changed.discard(user)
    return {"group_id": body.group_id, "results": results, "position": format_position(outcome.position)}


def _removal(name: str, path: str, method: str) -> Operation:
    return Operation(
        name=name,
        max_bytes=MAX_MEMBERS_BODY,
        path=path,
        summary="Take users out of a group",
        body=MembersBody,
        answers=MembersAnswer,
        build=lambda _call, body, _sealed: RemoveMembers(group_id=body.group_id, users=tuple(body.user_ids)),
        tell=_removed,
        method=method,
    )


CREATE_GROUP = Operation(
    name="create_group",
    path=PATH,
    summary="Create a group with limits that its members share",
    body=GroupBody,
    answers=GroupAnswer,
    build=_create,
    answer=created_answer,
    status=201,
    begins=lambda _call, body: Begins("group", body.id or ""),
)
EDIT_GROUP = Operation(
    name="edit_group",
    path=PATH + "/{id}",
    summary="Change a group's name, description, limits or period",
    body=GroupChangeBody,
    answers=GroupAnswer,
    build=_edit,
    look=_unchanged,
    tell=_as_it_is,
    method="PATCH",
)

DELETE_GROUP = Operation(
    name="delete_group",
    path=PATH + "/{id}",
    summary="Delete a group; its members are free of its limits",
    body=NoBody,
    answers=GroupDeletedAnswer,
    build=lambda call, _body, _sealed: DeleteGroup(group_id=call.id),
    answer=_deleted,
    method="DELETE",
)
ADD_MEMBERS = Operation(
    name="add_group_members",
    max_bytes=MAX_MEMBERS_BODY,
    path=MEMBERS_PATH,
    summary="Add users to a group",
    body=MembersBody,
    answers=MembersAnswer,
    build=lambda _call, body, _sealed: AddMembers(group_id=body.group_id, users=tuple(body.user_ids)),
    tell=_added,
    begins=lambda _call, body: Begins("member", many=len(body.user_ids)),
)
REMOVE_MEMBERS = _removal("remove_group_members", MEMBERS_PATH + "/remove", "POST")
DELETE_MEMBERS = _removal("delete_group_members", MEMBERS_PATH, "DELETE")
TRACK = Operation(
    name="track_generation",
    path="/api/track-generation",
    summary="Count an image or a video against the user's groups, if all of them have room",
    body=TrackBody,
    answers=TrackAnswer,
    build=lambda _call, body, _sealed: TrackGeneration(user=body.user_id, what=body.type),
    tell=tracked_answer,
    refused=refused_answer,
)
