"""Groups, who is in them, what they have used, and what other limits would mean (S1)."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel
from starlette.responses import Response

from api.groups.commands import (
    COUNTED,
    GroupAnswer,
    GroupRest,
    GroupUsage,
    LimitsBody,
    MemberRow,
    group_answer,
    group_now,
    quotas_of,
    settings_tag,
    use_answer,
)
from api.http.caller import Call, seen_user
from api.http.database import Row
from api.http.endpoint import MinPosition, endpoint
from api.http.fields import QueryDay, UserId
from api.http.lists import (
    Asked,
    Bom,
    Bucket,
    Json,
    Page,
    Report,
    ReportPage,
    Window,
    csv_response,
    page_of,
    report_endpoint,
    seen,
    window,
)
from api.http.policy import May
from api.http.problems import Problem, refused
from api.plans.tokens import FARTHEST_DAYS, WINDOW_DAYS
from domain.groups.commands import EditGroup
from domain.groups.now import GroupUse as UseNow
from domain.groups.now import Room, room_of
from domain.groups.state import TOKENS, Group, stream_of
from domain.kernel.memory import Memory
from domain.periods import Every, Period
from domain.quotas.quota import plus
from domain.registry import SCRIP
from infra.partitions import PLATFORM
from infra.position import format_position
from infra.security.principal import Role
from infra.writer.submission import Refused

FULLEST = 2**62  # above what any group can be
MOST_FULL = FULLEST - 1
# Use of a period that has ended does not count, even if the read model has not seen the end yet.
# `fullness` is what is taken of the fullest limit in hundredths of a percent, -1 where nothing is limited.
_LIVE = """
    select g.id, g.name, g.description, g.limits, g.every, g.settings, g.member_count, g.used, g.held, g.period_key,
        g.period_start, g.period_end, coalesce(g.period_end <= scrip_now(), false) as ended, g.position,
        {fullness} as fullness, scrip_now() as now
    from read.groups g
    where g.org = %(org)s and g.deleted_at is null
      and (%(user)s::text is null or exists (
        select 1 from read.members m where m.org = g.org and m.group_id = g.id and m.user_id = %(user)s))"""
_FULL = f"""
    coalesce((select max(case when l.most::bigint = 0 then 10000 when g.period_end <= scrip_now() then 0
        else least((coalesce((g.used ->> l.what)::bigint, 0) + coalesce((g.held ->> l.what)::bigint, 0))
            * 10000::numeric / l.most::bigint, {MOST_FULL}) end)::bigint
        from jsonb_each_text(g.limits) as l (what, most)), -1)"""
BY_ID = _LIVE.format(fullness="0") + " and g.id > %(after)s order by g.id limit %(limit)s"
CLOSEST = f"""
    select * from ({_LIVE.format(fullness=_FULL)}) live
    where fullness < %(fullness)s or (fullness = %(fullness)s and id > %(after)s)
    order by fullness desc, id limit %(limit)s"""


MOST_DAYS = {"day": 1_000, "week": 7_000, "month": 30_000}  # about a thousand buckets
DEFAULT_DAYS = 30
_MEMBERS = """
    select user_id, joined_at from read.members
    where org = %(org)s and group_id = %(id)s and user_id > %(after)s
    order by user_id limit %(limit)s"""
_USAGE = """
    select width_bucket(at, %(starts)s::timestamptz[]) as bucket, what, sum(amount) as amount
    from read.group_usage
    where org = %(org)s and group_id = %(id)s and at >= %(start)s and at < %(end)s
    group by 1, 2 order by 1, 2"""

# How long a period can be at most, for one that has not begun.
_LONGEST_DAYS = {"day": 1, "week": 7, "month": 31}
# To the quarter of an hour; refunds are taken off.
_USED_LATELY = """
    select group_id, what, sum(amount) as amount from read.group_usage
    where org = %(org)s and group_id = any(%(ids)s) and at >= %(since)s and what in ('image', 'video')
    group by 1, 2"""

Used = dict[tuple[str, str], int]  # by group and what is counted


@endpoint("GET /api/groups", May.READ_OWN_GROUPS, page_of(GroupAnswer))
async def list_groups(
    call: Call,
    page: Page,
    user_id: UserId = None,
    sort: Annotated[Literal["id", "closest"], Query(description="closest: to its limit first.")] = "id",
) -> dict[str, Any]:
    """Groups with their limits and use; a user's are those they are in."""
    user = seen_user(call, user_id)
    pages = await page.of(call, "groups", user or "", sort)
    rows = await pages.rows(CLOSEST if sort == "closest" else BY_ID, {"fullness": FULLEST, "after": ""}, user=user)
    answer = pages.page(rows, ["fullness", "id"], group_row)
    if rows:
        await _forecast(call, answer["items"], rows[0]["now"])
    return answer


@endpoint("GET /api/groups/{id}", May.READ_OWN_GROUPS, GroupAnswer)
async def read_group(call: Call, id: str) -> Json:
    """A group as it is now."""
    answered = await group_now(call, id)
    _in_it(call, answered.value.group)
    answer = use_answer(id, answered)
    await _forecast(call, [answer], answered.time)
    return Json(answer, headers={"ETag": settings_tag(answered.value.group)})


@endpoint("GET /api/groups/{id}/members", May.READ_GROUPS, page_of(MemberRow))
async def list_group_members(call: Call, page: Page, id: str) -> dict[str, Any]:
    """Who is in a group."""
    await group_now(call, id)
    pages = await page.of(call, "members", id)
    return pages.page(await pages.rows(_MEMBERS, {"after": ""}, id=id), ["user_id"])


@endpoint("GET /api/groups/{id}/usage", May.READ_GROUPS, GroupUsage)
async def read_group_usage(
    call: Call,
    id: str,
    from_: Annotated[
        QueryDay | None, Query(alias="from", description=f"Included; {DEFAULT_DAYS} days before today by default.")
    ] = None,
    to: Annotated[QueryDay | None, Query(description="Not included; the end of today by default.")] = None,
    bucket: Bucket = "day",
    format: Literal["json", "csv"] = "json",
    bom: Bom = False,
    min_position: MinPosition = None,
) -> Response:
    """What a group used by day, week or month, beside its limits."""
    await seen(call, min_position)
    use: UseNow = (await group_now(call, id)).value
    during = await window(call, from_, to, days=DEFAULT_DAYS + 1, most=MOST_DAYS[bucket])
    items = await _usage(call, id, during, bucket)
    if format == "csv":
        table = _table(id, use.group, items)
        return await call.services.threads.run(csv_response, "group-usage.csv", *table, bom=bom)
    answer = {"group_id": id, "name": use.group.name, "period": use.group.every, **_limits(use.group)}
    times = {"from": during.start, "to": during.end, "time_zone": during.zone.key}
    return Json(answer | {"bucket": bucket, **times, "items": items})


async def _forecast(call: Call, groups: list[dict[str, Any]], now: datetime) -> None:
    """Add to each group when its limits are full."""
    since = now - timedelta(days=WINDOW_DAYS)
    rows = await call.rows(_USED_LATELY, ids=[group["id"] for group in groups], since=since)
    used = {(row["group_id"], row["what"]): row["amount"] for row in rows}
    for group in groups:
        group["full_in_days"] = full_in_days(group, used, now)


async def _usage(call: Call, group_id: str, during: Window, bucket: Bucket) -> list[dict[str, Any]]:
    """Every bucket of the period, also those without use."""
    buckets = during.buckets(bucket)
    starts = [start for _, start in buckets]
    found: dict[int, dict[str, int]] = {}
    for row in await call.rows(_USAGE, id=group_id, starts=starts, start=during.start, end=during.end):
        found.setdefault(row["bucket"], {})[row["what"]] = row["amount"]
    return [_item(name, found.get(number, {})) for number, (name, _) in enumerate(buckets, 1)]


def _in_it(call: Call, group: Group) -> None:
    """A user may see only groups that they are in. Raises Problem (403)."""
    if call.principal.role is Role.USER and call.principal.sub not in group.members:
        raise Problem(403, "not_own", "A user may only see groups that they are in.")


def group_row(row: Row) -> dict[str, Any]:
    """A row of `api/group_queries.py` as a group is answered."""
    taken = {} if row["ended"] else plus(row["used"], row["held"])
    group = Group(
        name=row["name"],
        description=row["description"],
        limits=row["limits"],
        every=Every(row["every"]),
        settings=row["settings"],
    )
    rooms = {
        what: Room(row["id"], what, group.limit(what), taken.get(what, 0)) for what in (*COUNTED, *group.limits, *taken)
    }
    runs = row["period_start"] is not None and not row["ended"]
    period = Period(row["period_key"], row["period_start"], row["period_end"]) if runs else None
    answer = group_answer(row["id"], group, period, rooms, row["member_count"])
    return answer | {"position": format_position(row["position"])}


def _limits(group: Group) -> dict[str, Any]:
    return {
        "image_limit": group.limit("image"),
        "video_limit": group.limit("video"),
        "token_quotas": quotas_of(group.limits),
    }


def _item(start: date | datetime, used: dict[str, int]) -> dict[str, Any]:
    tokens = {what.removeprefix(TOKENS): amount for what, amount in used.items() if what.startswith(TOKENS)}
    return {"start": start, "image": used.get("image", 0), "video": used.get("video", 0), "tokens": tokens}


def _table(group_id: str, group: Group, items: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Limit against actual, a line for each bucket; the types of tokens that were used or are limited at the end."""
    types = sorted({type_ for item in items for type_ in item["tokens"]} | quotas_of(group.limits).keys())
    columns = ["group_id", "name", "start", "image", "image_limit", "video", "video_limit"]
    limits = group.limit("image"), group.limit("video")
    rows = [
        [group_id, group.name, item["start"].isoformat(), item["image"], limits[0], item["video"], limits[1]]
        + [item["tokens"].get(type_, 0) for type_ in types]
        for item in items
    ]
    return [*columns, *(f"{TOKENS}{type_}" for type_ in types)], rows


def full_in_days(group: dict[str, Any], used: Used, now: datetime) -> dict[str, int | None]:
    """Days until each limit of a group, as it is answered, is full (S1): at the mean of the last 14 days, rounded up.

    0: it is full. None where nothing is limited or was used, and where a new period begins before it is full.
    """
    return {
        what: _days(group["remaining"][what], used.get((group["id"], what), 0), _until_reset(group, now))
        for what in COUNTED
    }


def _days(remaining: int | None, used: int, until_reset: timedelta | None) -> int | None:
    if remaining is None or not remaining:
        return remaining
    if used <= 0:
        return None
    seconds = remaining * WINDOW_DAYS * 86_400 // used
    if seconds > FARTHEST_DAYS * 86_400 or (until_reset is not None and timedelta(seconds=seconds) > until_reset):
        return None
    return -(-remaining * WINDOW_DAYS // used)


def _until_reset(group: dict[str, Any], now: datetime) -> timedelta | None:
    """How long until the next period begins at the latest; None for never."""
    if group["period_end"] is not None:
        end: timedelta = group["period_end"] - now
        return end
    longest = _LONGEST_DAYS.get(group["period"])
    return timedelta(days=longest) if longest else None


class GroupPreview(GroupRest):
    """The group as it would be. `refused_now`: whether the next one of it would be refused.

    `members_affected`: how many members would then be refused something, all of them or none.
    """

    id: str
    refused_now: dict[str, bool]
    members_affected: int
    position: str


@endpoint("POST /api/groups/{id}/preview", May.MANAGE_GROUPS, GroupPreview, keyed=False)
async def preview_group(call: Call, body: LimitsBody) -> dict[str, Any]:
    """What other limits would mean now, without setting them.

    By the decision of the change itself, made in memory and thrown away.
    """
    answered = await group_now(call, call.id)
    use: UseNow = answered.value
    every = Every(body.period) if body.period else None
    ledger = Memory(SCRIP, PLATFORM)
    ledger.put(call.org, stream_of(call.id), use.group)
    decided = ledger.run(EditGroup(group_id=call.id, limits=body.limits, every=every), call.org, answered.time)
    if decided.refusal is not None:
        raise refused(Refused.of(decided.refusal))
    group: Group = ledger.state(call.org, stream_of(call.id))
    counted = dict.fromkeys((*COUNTED, *group.limits, *group.quota.used, *group.quota.held))
    rooms = {what: room_of(call.id, group, what) for what in counted}
    answer = group_answer(call.id, group, None, rooms, len(group.members))
    return {
        **{name: answer[name] for name in GroupPreview.model_fields if name in answer},
        "refused_now": {what: not rooms[what].has(1) for what in COUNTED},
        "members_affected": len(group.members) if any(not room.has(1) for room in rooms.values()) else 0,
        "position": format_position(answered.position),
    }


COLUMNS = (
    *("group_id", "name", "period", "member_count", "image_used", "image_limit", "image_remaining"),
    *("video_used", "video_limit", "video_remaining", "percent", "status"),
)
_USED = """
    select group_id, what, sum(amount) as amount from read.group_usage
    where org = %(org)s and group_id = any(%(ids)s) and at >= %(start)s and at < %(end)s
      and what in ('image', 'video')
    group by 1, 2"""


class GroupUse(BaseModel):
    """What a group used in the time; limits, what remains of them, `percent` and `status` are as of now."""

    group_id: str
    name: str
    period: str
    member_count: int
    image_used: int
    image_limit: int | None
    image_remaining: int | None
    video_used: int
    video_limit: int | None
    video_remaining: int | None
    percent: int
    status: Literal["green", "yellow", "red"]


class GroupUses(ReportPage):
    """All groups by their id, from `starts_at` to `ends_at` (not included).

    `from` is the organisation's day in which that begins, `to` the day after the one in which it ends.
    """

    items: list[GroupUse]


async def _read(call: Call, asked: Asked) -> list[Row]:
    rows = await call.rows(BY_ID, user=None, after=asked.after or "", limit=asked.limit)
    found = await call.rows(_USED, ids=[row["id"] for row in rows], start=asked.start, end=asked.end)
    used = {(row["group_id"], row["what"]): row["amount"] for row in found}
    return [row | {"in_time": {what: used.get((row["id"], what), 0) for what in ("image", "video")}} for row in rows]


def _shown(row: Row, _during: Window) -> dict[str, Any]:
    """In the order of `COLUMNS`."""
    used = row.pop("in_time")
    group = group_row(row)
    answer = {"group_id": group["id"], **{name: group[name] for name in ("name", "period", "member_count")}}
    for what in ("image", "video"):
        answer[f"{what}_used"] = used[what]
        answer[f"{what}_limit"] = group[f"{what}_limit"]
        answer[f"{what}_remaining"] = group["remaining"][what]
    return answer | {"percent": group["percent"], "status": str(group["status"])}


list_group_usage = report_endpoint(
    Report("groups", "id", COLUMNS, _read, _shown, lambda shown: [*shown.values()]),
    name="list_group_usage",
    summary="What each group used, beside its limits",
    answers=GroupUses,
)
