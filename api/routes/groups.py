"""Groups, who is in them, and what they have used (S1)."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Query
from starlette.responses import Response

from api.csv_text import Bom, csv_response
from api.database import Row
from api.fields import QueryDay, UserId
from api.group_answers import COUNTED, group_answer, group_now, quotas_of, settings_tag, use_answer
from api.group_queries import BY_ID, CLOSEST, FULLEST
from api.http.caller import Call, seen_user
from api.http.endpoint import MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.problems import Problem
from api.reading import Json, cursors, seen
from api.run_out import FARTHEST_DAYS, WINDOW_DAYS
from api.schemas import page_of
from api.schemas_groups import GroupAnswer, GroupUsage, MemberRow
from api.services import Services
from api.windows import Bucket, Window, window
from domain.groups.now import GroupUse
from domain.groups.room import Room
from domain.groups.rules import TOKENS
from domain.groups.state import Group
from domain.periods import Every, Period
from domain.quotas.quota import plus
from infra.position import format_position
from infra.security.principal import Role

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
    user_id: UserId = None,
    sort: Annotated[Literal["id", "closest"], Query(description="closest: to its limit first.")] = "id",
    limit: Limit = 50,
    cursor: CursorText = None,
    min_position: MinPosition = None,
) -> Json:
    """Groups with their limits and use; a user's are those they are in."""
    user = seen_user(call, user_id)
    await seen(call, min_position)
    pages = cursors(call, "groups", user or "", sort)
    fullness, after = pages.decode(cursor, int, str) if cursor else (FULLEST, "")
    wanted = {"org": call.org, "user": user, "fullness": fullness, "after": after, "limit": limit + 1}
    rows = await call.services.rows(CLOSEST if sort == "closest" else BY_ID, wanted)
    page = pages.page(rows, limit, lambda row: [row["fullness"], row["id"]], group_row)
    if rows:
        await _forecast(call.services, call.org, page["items"], rows[0]["now"])
    return Json(page)


@endpoint("GET /api/groups/{id}", May.READ_OWN_GROUPS, GroupAnswer)
async def read_group(call: Call, id: str) -> Json:
    """A group as it is now."""
    answered = await group_now(call, id)
    _in_it(call, answered.value.group)
    told = use_answer(id, answered)
    await _forecast(call.services, call.org, [told], answered.time)
    return Json(told, headers={"ETag": settings_tag(answered.value.group)})


@endpoint("GET /api/groups/{id}/members", May.READ_GROUPS, page_of(MemberRow))
async def list_group_members(
    call: Call, id: str, limit: Limit = 50, cursor: CursorText = None, min_position: MinPosition = None
) -> Json:
    """Who is in a group."""
    await group_now(call, id)
    await seen(call, min_position)
    pages = cursors(call, "members", id)
    after = pages.decode(cursor, str)[0] if cursor else ""
    rows = await call.services.rows(_MEMBERS, {"org": call.org, "id": id, "after": after, "limit": limit + 1})
    return Json(pages.page(rows, limit, lambda row: [row["user_id"]], lambda row: row))


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
    use: GroupUse = (await group_now(call, id)).value
    during = await window(call, from_, to, days=DEFAULT_DAYS + 1, most=MOST_DAYS[bucket])
    items = await _usage(call.services, call.org, id, during, bucket)
    if format == "csv":
        table = _table(id, use.group, items)
        return await call.services.threads.run(csv_response, "group-usage.csv", *table, bom=bom)
    told = {"group_id": id, "name": use.group.name, "period": use.group.every, **_limits(use.group)}
    times = {"from": during.start, "to": during.end, "time_zone": during.zone.key}
    return Json(told | {"bucket": bucket, **times, "items": items})


async def _forecast(services: Services, org: str, groups: list[dict[str, Any]], now: datetime) -> None:
    """Tell of each group when its limits are full."""
    since = now - timedelta(days=WINDOW_DAYS)
    ids = [group["id"] for group in groups]
    rows = await services.rows(_USED_LATELY, {"org": org, "ids": ids, "since": since})
    used = {(row["group_id"], row["what"]): row["amount"] for row in rows}
    for group in groups:
        group["full_in_days"] = full_in_days(group, used, now)


async def _usage(services: Services, org: str, group_id: str, during: Window, bucket: Bucket) -> list[dict[str, Any]]:
    """Every bucket of the time asked for, also those without use."""
    names, starts = [], []
    for name, start in during.buckets(bucket):
        names.append(name)
        starts.append(start)
    wanted = {"org": org, "id": group_id, "starts": starts, "start": during.start, "end": during.end}
    found: dict[int, dict[str, int]] = {}
    for row in await services.rows(_USAGE, wanted):
        found.setdefault(row["bucket"], {})[row["what"]] = row["amount"]
    return [_item(name, found.get(number, {})) for number, name in enumerate(names, 1)]


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
    told = group_answer(row["id"], group, period, rooms, row["member_count"])
    return told | {"position": format_position(row["position"])}


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

    0: it is full. None where nothing is limited or was used, and where use starts anew before it is full.
    """
    return {
        what: _days(group["remaining"][what], used.get((group["id"], what), 0), _anew_in(group, now))
        for what in COUNTED
    }


def _days(remaining: int | None, used: int, anew_in: timedelta | None) -> int | None:
    if remaining is None or not remaining:
        return remaining
    if used <= 0:
        return None
    seconds = remaining * WINDOW_DAYS * 86_400 // used
    if seconds > FARTHEST_DAYS * 86_400 or (anew_in is not None and timedelta(seconds=seconds) > anew_in):
        return None
    return -(-remaining * WINDOW_DAYS // used)


def _anew_in(group: dict[str, Any], now: datetime) -> timedelta | None:
    """How long until use starts anew at the latest; none for never."""
    if group["period_end"] is not None:
        end: timedelta = group["period_end"] - now
        return end
    longest = _LONGEST_DAYS.get(group["period"])
    return timedelta(days=longest) if longest else None
