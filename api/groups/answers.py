"""What calls on groups answer."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.http.caller import Call, tag_of
from api.http.current import ask
from api.http.database import UNREACHABLE
from api.http.endpoint import Answer
from api.http.fields import shown_settings, with_settings
from api.http.problems import away, refused
from api.http.services import Services
from domain.groups.events import GroupCreated, Limits
from domain.groups.now import GroupNow, GroupUse, Room, max_status, room_of, tightest
from domain.groups.state import PREFIX, TOKENS, Group, evolve
from domain.periods import Period
from domain.quotas.events import UseCounted
from domain.refusal import Refusal
from domain.registry import SCRIP
from domain.settings.setting import Owner
from infra.log.mapper import LedgerMapper
from infra.position import format_position
from infra.writer.submission import Answered, Outcome, Refused


@with_settings(Owner.GROUP)
class GroupAnswer(BaseModel):
    """A group as it is now. Use includes what is held for generations that run; null limits and rests are unlimited.

    `status`: green below 75 % of the fullest limit, yellow below 90 %, red from there; `percent` is that share.
    `period_start` and `period_end` are null for `total`, and in lists where nothing was used in the period yet.
    `full_in_days`: until each limit is full at the mean use of the last 14 days, rounded up; 0 when it is. Null where
    nothing is limited or was used, and where use starts anew before. It is told by reads alone.
    """

    id: str
    name: str
    description: str
    image_limit: int | None
    video_limit: int | None
    token_quotas: dict[str, int]
    period: str
    period_start: datetime | None
    period_end: datetime | None
    member_count: int
    usage: dict[str, int]
    remaining: dict[str, int | None]
    token_usage: dict[str, int]
    token_remaining: dict[str, int | None]
    status: Literal["green", "yellow", "red"]
    percent: int
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


class GroupUsage(BaseModel):
    """The history of a group's use from `from` to `to` (not included), beside its limits as they are now.

    Days, weeks and months are those of the organisation's `time_zone`.
    """

    group_id: str
    name: str
    period: str
    image_limit: int | None
    video_limit: int | None
    token_quotas: dict[str, int]
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
    try:
        return await ask(call.services, call.org, GroupNow(group_id=group_id))
    except Refusal as refusal:
        raise refused(Refused.of(refusal)) from None


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
    told = group_answer(group_id, use.group, use.period, use.rooms, len(use.group.members))
    return told | {"position": format_position(answered.position)}


def quotas_of(limits: Limits) -> Limits:
    """The limits of plan tokens by their type."""
    return {what.removeprefix(TOKENS): limit for what, limit in limits.items() if what.startswith(TOKENS)}


def settings_tag(group: Group) -> str:
    """The ETag of what PATCH changes."""
    return tag_of(group.name, group.description, group.limits, group.every, group.settings)


def created_answer(outcome: Outcome) -> Answer:
    """A group that has just been created: nothing is used, nobody is in it."""
    event = outcome.one(GroupCreated)
    group = evolve(Group(), event)
    rooms = {what: room_of(event.group_id, group, what) for what in (*COUNTED, *group.limits)}
    told = group_answer(event.group_id, group, None, rooms, 0)
    return told | {"position": format_position(outcome.position)}


async def tracked_answer(call: Call, body: Any, outcome: Outcome) -> Answer:
    """A generation that was counted, and of the user's groups the one that has least left after it.

    A replay tells what was so then, not what is so now. Raises Problem (503).
    """
    room: Room | None = outcome.result_state
    if room is None:  # the answer comes from the log, or the user is in no group
        streams = [stream for stream, _ in outcome.all(UseCounted)]
        groups = await _all_at(call, streams, outcome.position) if streams else {}
        room = tightest(room_of(stream.removeprefix(PREFIX), groups[stream], body.type) for stream in streams)
    numbers = _numbers(room.group_id, room.limit, room.used, room.remaining) if room else _numbers()
    return {"allowed": True, "error": None, **numbers, "position": format_position(outcome.position)}


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
        return {stream: await _at(call.services, call.org, stream, position) for stream in streams}


async def _at(services: Services, org: str, stream: str, position: int) -> Group:
    """A group as it was at a position, its events folded again: only replays need it."""
    group, version = Group(), 0
    while True:
        wanted = {"org": org, "stream": stream, "version": version, "position": position, "limit": CHUNK}
        try:
            rows = await services.rows(_EVENTS, wanted)
        except UNREACHABLE as error:
            raise away(error) from None
        if rows:
            group = await services.threads.run(_fold, group, rows)
            version = rows[-1]["version"]
        if len(rows) < CHUNK:
            return group


def _fold(group: Group, rows: Iterable[dict[str, Any]]) -> Group:
    for row in rows:
        group = evolve(group, _CODEC.decode(row["type"], bytes(row["data"])))
    return group
