"""Groups with limits, who is in them, and counting what was generated elsewhere (S1); and what the calls answer."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from api.generations.commands import NoBody
from api.http.caller import Call, matched, tag_of
from api.http.command import command
from api.http.database import UNREACHABLE
from api.http.endpoint import Answer
from api.http.fields import Body, Count, Id, Name, given_settings, shown_settings, with_settings
from api.http.limits import Begins
from api.http.policy import May
from api.http.problems import away
from domain.groups.commands import AddMembers, CreateGroup, DeleteGroup, EditGroup, RemoveMembers, TrackGeneration
from domain.groups.events import GroupCreated, GroupDeleted, Limits, MembersAdded, MembersRemoved
from domain.groups.now import GroupNow, GroupUse, Room, max_status, room_of, tightest
from domain.groups.state import MAX_DESCRIPTION, MAX_NAME, PREFIX, TOKENS, Group, evolve
from domain.periods import Every, Period
from domain.quotas.events import UseCounted
from domain.registry import SCRIP
from domain.settings.setting import Owner
from domain.text import is_name
from infra.ids import uuid7
from infra.log.mapper import LedgerMapper
from infra.position import format_position
from infra.writer.submission import Answered, Outcome


class GroupLimits(BaseModel):
    """What a group allows; null is unlimited."""

    image_limit: int | None
    video_limit: int | None
    token_quotas: dict[str, int]
    period: str


class GroupRest(GroupLimits):
    """What is left in a group: `usage` includes holds of generations that run. `percent` is of its fullest limit."""

    usage: dict[str, int]
    remaining: dict[str, int | None]
    token_remaining: dict[str, int | None]
    status: Literal["green", "yellow", "red"]
    percent: int
    member_count: int


@with_settings(Owner.GROUP)
class GroupAnswer(GroupRest):
    """A group as it is now. Use includes what is held for generations that run; null limits and rests are unlimited.

    `status`: green below 75 % of the fullest limit, yellow below 90 %, red from there; `percent` is that share.
    `period_start` and `period_end` are null for `total`, and in lists where nothing was used in the period yet.
    `full_in_days`: until each limit is full at the mean use of the last 14 days, rounded up; 0 when it is. Null where
    nothing is limited or was used, and where the period ends before. Only reads have it.
    """

    id: str
    name: str
    description: str
    period_start: datetime | None
    period_end: datetime | None
    token_usage: dict[str, int]
    full_in_days: dict[str, int | None] | None = None
    position: str


class GroupDeletedAnswer(BaseModel):
    """The group is gone; its id is not used again."""

    id: str
    deleted: bool
    position: str


class MemberResult(BaseModel):
    """What the call has changed for one user."""

    user_id: str
    status: Literal["added", "already_member", "removed", "not_a_member"]


class MembersAnswer(BaseModel):
    """One result for each user, in the order in which they were named."""

    group_id: str
    results: list[MemberResult]
    position: str


class TrackAnswer(BaseModel):
    """`group_id` and the numbers are of the group that refused, else of that with least left; null without groups."""

    allowed: bool
    error: str | None
    reason: str | None = None
    group_id: str | None
    limit: int | None
    used: int | None
    remaining: int | None
    position: str


class MemberRow(BaseModel):
    """A user in a group."""

    user_id: str
    joined_at: datetime


class UseBucket(BaseModel):
    """What a group used from `start` to the next bucket; tokens by type. A refund counts at its own time."""

    start: date
    image: int
    video: int
    tokens: dict[str, int]


class GroupUsage(GroupLimits):
    """The history of a group's use from `from` to `to` (not included), beside its limits as they are now.

    Days, weeks and months are those of the organisation's `time_zone`.
    """

    group_id: str
    name: str
    bucket: Literal["day", "week", "month"]
    from_: datetime = Field(alias="from")
    to: datetime
    time_zone: str
    items: list[UseBucket]


COUNTED = ("image", "video")
CHUNK = 2_000
_CODEC = LedgerMapper.of(SCRIP)
_EVENTS = """
    select version, type, data from events
    where org = %(org)s and stream = %(stream)s and version > %(version)s and position <= %(position)s
    order by version limit %(limit)s"""


async def group_now(call: Call, group_id: str) -> Answered:
    """Where the group stands: a `GroupUse`, and as of when. Raises Problem (404, 503)."""
    return await call.ask(GroupNow(group_id=group_id))


def group_answer(
    group_id: str, group: Group, period: Period | None, rooms: dict[str, Room], member_count: int
) -> dict[str, Any]:
    """A group with its limits and what is used of them, holds of generations that run included.

    `percent` is that of its fullest limit, rounded down; 100 for a limit of 0, 0 where nothing is limited.
    """
    tokens = {what.removeprefix(TOKENS): room for what, room in rooms.items() if what.startswith(TOKENS)}
    return {
        "id": group_id,
        "name": group.name,
        "description": group.description,
        "image_limit": group.limit("image"),
        "video_limit": group.limit("video"),
        "token_quotas": quotas_of(group.limits),
        **shown_settings(group.settings, Owner.GROUP),
        "period": group.every,
        "period_start": period.start if period else None,
        "period_end": period.end if period else None,
        "member_count": member_count,
        "usage": {what: rooms[what].used for what in COUNTED},
        "remaining": {what: rooms[what].remaining for what in COUNTED},
        "token_usage": {type_: room.used for type_, room in tokens.items()},
        "token_remaining": {type_: room.remaining for type_, room in tokens.items()},
        "status": max_status(tuple(rooms.values())),
        "percent": max((_percent(room) for room in rooms.values()), default=0),
    }


def use_answer(group_id: str, answered: Answered) -> dict[str, Any]:
    """The answer to `GroupNow` as callers read it."""
    use: GroupUse = answered.value
    answer = group_answer(group_id, use.group, use.period, use.rooms, len(use.group.members))
    return answer | {"position": format_position(answered.position)}


def quotas_of(limits: Limits) -> Limits:
    """The limits of plan tokens by their type."""
    return {what.removeprefix(TOKENS): limit for what, limit in limits.items() if what.startswith(TOKENS)}


def settings_tag(group: Group) -> str:
    """The ETag of what PATCH changes."""
    return tag_of(group.name, group.description, group.limits, group.every, group.settings)


def created_answer(outcome: Outcome) -> Answer:
    """A group that has just been created: nothing is used, it has no members."""
    event = outcome.one(GroupCreated)
    group = evolve(Group(), event)
    rooms = {what: room_of(event.group_id, group, what) for what in (*COUNTED, *group.limits)}
    return group_answer(event.group_id, group, None, rooms, 0)


async def tracked_answer(call: Call, body: Any, outcome: Outcome) -> Answer:
    """A generation that was counted, and of the user's groups the one that has least left after it.

    A replay gets the numbers of that moment, not those of now. Raises Problem (503).
    """
    room: Room | None = outcome.result_state
    if room is None:  # the answer comes from the log, or the user is in no group
        streams = [stream for stream, _ in outcome.all(UseCounted)]
        groups = await _all_at(call, streams, outcome.position) if streams else {}
        room = tightest(room_of(stream.removeprefix(PREFIX), groups[stream], body.type) for stream in streams)
    numbers = _numbers(room.group_id, room.limit, room.used, room.remaining) if room else _numbers()
    return {"allowed": True, "error": None, **numbers}


def refused_answer(outcome: Outcome) -> Answer | None:
    """A generation that a group's limit forbids, which is an answer; none for a refusal of another kind."""
    refusal = outcome.refusal
    if refusal is None or refusal.code != "group_limit":
        return None
    facts = refusal.facts
    return {
        "allowed": False,
        "error": refusal.detail,
        "reason": refusal.code,
        **_numbers(facts["group_id"], facts["limit"], facts["used"], facts["remaining"]),
        "position": format_position(outcome.position),
    }


def _numbers(
    group_id: str | None = None, limit: int | None = None, used: int | None = None, remaining: int | None = None
) -> Answer:
    return {"group_id": group_id, "limit": limit, "used": used, "remaining": remaining}


def _percent(room: Room) -> int:
    if room.limit is None:
        return 0
    return room.used * 100 // room.limit if room.limit else 100


async def _all_at(call: Call, streams: list[str], position: int) -> dict[str, Group]:
    """Groups as they were at a position. Raises Problem (429, 503)."""
    async with call.services.folds.enter(call.org, call.principal.actor):
        return {stream: await _at(call, stream, position) for stream in streams}


async def _at(call: Call, stream: str, position: int) -> Group:
    """A group as it was at a position, its events folded again: only replays need it."""
    group, version = Group(), 0
    while True:
        try:
            rows = await call.rows(_EVENTS, stream=stream, version=version, position=position, limit=CHUNK)
        except UNREACHABLE as error:
            raise away(error) from None
        if rows:
            group = await call.services.threads.run(_fold, group, rows)
            version = rows[-1]["version"]
        if len(rows) < CHUNK:
            return group


def _fold(group: Group, rows: Iterable[dict[str, Any]]) -> Group:
    for row in rows:
        group = evolve(group, _CODEC.decode(row["type"], bytes(row["data"])))
    return group


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
    return {"id": outcome.one(GroupDeleted).group_id, "deleted": True}


async def _added(_call: Call, body: MembersBody, outcome: Outcome) -> Answer:
    new = {user for _, event in outcome.all(MembersAdded) for user in event.users}
    return _results(body, new, "added", "already_member")


async def _removed(_call: Call, body: MembersBody, outcome: Outcome) -> Answer:
    gone = {user for _, event in outcome.all(MembersRemoved) for user in event.users}
    return _results(body, gone, "removed", "not_a_member")


def _results(body: MembersBody, changed: set[str], done: str, already: str) -> Answer:
    """Who is named twice has changed once."""
    results = []
    for user in body.user_ids:
        results.append({"user_id": user, "status": done if user in changed else already})
        changed.discard(user)
    return {"group_id": body.group_id, "results": results}


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
