"""What every group used in a time beside its limits, for reports (S1)."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.database import Row
from api.group_queries import BY_ID
from api.reports import Asked, Report, report_endpoint
from api.routes.groups import group_row
from api.services import Services
from api.windows import Window

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


class GroupUses(BaseModel):
    """All groups by their id, from `starts_at` to `ends_at` (not included).

    `from` is the organisation's day in which that begins, `to` the day after the one in which it ends.
    """

    from_: date = Field(alias="from")
    to: date
    starts_at: datetime
    ends_at: datetime
    time_zone: str
    items: list[GroupUse]
    next_cursor: str | None = None


async def _read(services: Services, asked: Asked) -> list[Row]:
    rows = await services.rows(
        BY_ID, {"org": asked.org, "user": None, "after": asked.after or "", "limit": asked.limit}
    )
    wanted = {"org": asked.org, "ids": [row["id"] for row in rows], "start": asked.start, "end": asked.end}
    used = {(row["group_id"], row["what"]): row["amount"] for row in await services.rows(_USED, wanted)}
    return [row | {"in_time": {what: used.get((row["id"], what), 0) for what in ("image", "video")}} for row in rows]


def _shown(row: Row, _during: Window) -> dict[str, Any]:
    """In the order of `COLUMNS`."""
    used = row.pop("in_time")
    group = group_row(row)
    told = {"group_id": group["id"], **{name: group[name] for name in ("name", "period", "member_count")}}
    for what in ("image", "video"):
        told[f"{what}_used"] = used[what]
        told[f"{what}_limit"] = group[f"{what}_limit"]
        told[f"{what}_remaining"] = group["remaining"][what]
    return told | {"percent": group["percent"], "status": str(group["status"])}


list_group_usage = report_endpoint(
    Report("groups", "id", COLUMNS, _read, _shown, lambda shown: [*shown.values()]),
    name="list_group_usage",
    summary="What each group used, beside its limits",
    answers=GroupUses,
)
