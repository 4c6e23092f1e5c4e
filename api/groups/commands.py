"""Groups with limits, who is in them, and counting what was generated elsewhere (S1)."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from api.generations.commands import NoBody
from api.groups.answers import (
    GroupAnswer,
    GroupDeletedAnswer,
    MembersAnswer,
    TrackAnswer,
    created_answer,
    group_now,
    refused_answer,
    settings_tag,
    tracked_answer,
    use_answer,
)
from api.http.caller import Call, matched
from api.http.command import command
from api.http.endpoint import Answer
from api.http.fields import Body, Count, Id, Name, given_settings, with_settings
from api.http.limits import Begins
from api.http.policy import May
from domain.groups.commands import AddMembers, CreateGroup, DeleteGroup, EditGroup, RemoveMembers, TrackGeneration
from domain.groups.events import GroupDeleted, MembersAdded, MembersRemoved
from domain.groups.state import MAX_DESCRIPTION, MAX_NAME, TOKENS
from domain.periods import Every
from domain.settings.setting import Owner
from domain.text import is_name
from infra.ids import uuid7
from infra.position import format_position
from infra.writer.submission import Outcome

MAX_USERS = 1_000  # in one call
MAX_MEMBERS_BODY = 327_680  # their ids, of 255 characters each
MAX_QUOTAS = 50


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


async def _unchanged(call: Call, _body: Any) -> Call:
    """Raises Problem (404, 412) where the caller has read the group as it no longer is."""
    if call.if_match is not None:
        matched(call, "group", settings_tag((await group_now(call, call.id)).value.group))
    return call


async def _as_it_is(call: Call, _body: Any, _outcome: Outcome) -> Answer:
    return use_answer(call.id, await group_now(call, call.id))


def _deleted(outcome: Outcome) -> Answer:
    return {"id": outcome.one(GroupDeleted).group_id, "deleted": True, "position": format_position(outcome.position)}


async def _added(_call: Call, body: MembersBody, outcome: Outcome) -> Answer:
    new = {user for _, event in outcome.all(MembersAdded) for user in event.users}
    return _results(body, outcome, new, "added", "already_member")


async def _removed(_call: Call, body: MembersBody, outcome: Outcome) -> Answer:
    gone = {user for _, event in outcome.all(MembersRemoved) for user in event.users}
    return _results(body, outcome, gone, "removed", "not_a_member")


def _results(body: MembersBody, outcome: Outcome, changed: set[str], done: str, already: str) -> Answer:
    """Who is named twice has changed once."""
    results = []
    for user in body.user_ids:
        results.append({"user_id": user, "status": done if user in changed else already})
        changed.discard(user)
    return {"group_id": body.group_id, "results": results, "position": format_position(outcome.position)}


@command(
    "POST /api/groups",
    May.MANAGE_GROUPS,
    GroupAnswer,
    answer=created_answer,
    status=201,
    begins=lambda _call, body: Begins("group", body.id or ""),
)
def create_group(_call: Call, body: GroupBody, _sealed: str | None) -> Any:
    """Create a group with limits that its members share."""
    return CreateGroup(
        group_id=body.id or uuid7(),
        name=body.name,
        description=body.description,
        limits={what: limit for what, limit in body.limits.items() if limit is not None},
        every=Every(body.period),
        settings=given_settings(body, Owner.GROUP),
    )


@command("PATCH /api/groups/{id}", May.MANAGE_GROUPS, GroupAnswer, look=_unchanged, tell=_as_it_is)
def edit_group(call: Call, body: GroupChangeBody, _sealed: str | None) -> Any:
    """Change a group's name, description, limits or period."""
    every = body.given("period")
    return EditGroup(
        group_id=call.id,
        name=body.given("name"),
        description=body.given("description"),
        limits=body.limits,
        every=Every(every) if every else None,
        settings=given_settings(body, Owner.GROUP),
    )


@command("DELETE /api/groups/{id}", May.MANAGE_GROUPS, GroupDeletedAnswer, answer=_deleted)
def delete_group(call: Call, _body: NoBody, _sealed: str | None) -> Any:
    """Delete a group; its members are free of its limits."""
    return DeleteGroup(group_id=call.id)


@command(
    "POST /api/group-members",
    May.MANAGE_GROUPS,
    MembersAnswer,
    max_bytes=MAX_MEMBERS_BODY,
    tell=_added,
    begins=lambda _call, body: Begins("member", many=len(body.user_ids)),
)
def add_group_members(_call: Call, body: MembersBody, _sealed: str | None) -> Any:
    """Add users to a group."""
    return AddMembers(group_id=body.group_id, users=tuple(body.user_ids))


@command("POST /api/group-members/remove", May.MANAGE_GROUPS, MembersAnswer, max_bytes=MAX_MEMBERS_BODY, tell=_removed)
def remove_group_members(_call: Call, body: MembersBody, _sealed: str | None) -> Any:
    """Take users out of a group."""
    return RemoveMembers(group_id=body.group_id, users=tuple(body.user_ids))


@command("DELETE /api/group-members", May.MANAGE_GROUPS, MembersAnswer, max_bytes=MAX_MEMBERS_BODY, tell=_removed)
def delete_group_members(_call: Call, body: MembersBody, _sealed: str | None) -> Any:
    """Take users out of a group."""
    return RemoveMembers(group_id=body.group_id, users=tuple(body.user_ids))


@command("POST /api/track-generation", May.TRACK_IN_GROUPS, TrackAnswer, tell=tracked_answer, refused=refused_answer)
def track_generation(_call: Call, body: TrackBody, _sealed: str | None) -> Any:
    """Count an image or a video against the user's groups, if all of them have room."""
    return TrackGeneration(user=body.user_id, what=body.type)
