"""What every group used in a time beside its limits, for reports (S1)."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.csv_text import csv_response
from api.current import database_time
from api.fields import QueryTime
from api.group_queries import BY_ID
from api.operation import Call
from api.paging import CursorText, Limit
from api.reading import Json, MinPosition, between, cursors, seen
from api.routes.analytics import DEFAULT_DAYS, whole_days
from api.routes.groups import group_row
from api.routing import ReadRoute, call_of
from api.services import Row, Services

MOST = 10_000  # lines of a table
COLUMNS = (
    *("group_id", "name", "period", "member_count", "image_used", "image_limit", "image_remaining"),
    *("video_used", "video_limit", "video_remaining", "percent", "status"),
)
_USED = """
    select group_id, what, sum(amount)::bigint as amount from read.group_usage
    where org = %(org)s and group_id = any(%(ids)s) and day >= %(first)s and day < %(last)s
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
    """All groups by their id, from `from` to `to` (not included), whole days of UTC."""

    from_: date = Field(alias="from")
    to: date
    items: list[GroupUse]
    next_cursor: str | None = None


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def list_group_usage(
        call: Annotated[Call, Depends(call_of)],
        from_: Annotated[
            QueryTime | None, Query(alias="from", description=f"{DEFAULT_DAYS} days before `to` by default.")
        ] = None,
        to: QueryTime | None = None,
        format: Annotated[  # noqa: A002 - the name that reads with a format share
            Literal["json", "csv"], Query(description=f"csv: the first {MOST} groups, without pages.")
        ] = "json",
        limit: Limit = 50,
        cursor: CursorText = None,
        min_position: MinPosition = None,
    ) -> Response:
        between(from_, to)
        await seen(services, call, min_position)
        first, last = whole_days(await database_time(services), from_, to)
        pages = cursors(services, call, "group-report", first.isoformat(), last.isoformat())
        after = pages.decode(cursor, str)[0] if cursor else ""
        most = MOST if format == "csv" else limit + 1
        rows = await services.rows(BY_ID, {"org": call.org, "user": None, "after": after, "limit": most})
        wanted = {"org": call.org, "ids": [row["id"] for row in rows], "first": first, "last": last}
        used = {(row["group_id"], row["what"]): row["amount"] for row in await services.rows(_USED, wanted)}

        def shown(row: Row) -> dict[str, Any]:
            return _shown(row, used)

        if format == "csv":
            return csv_response("groups-usage.csv", COLUMNS, ([*shown(row).values()] for row in rows))
        return Json({"from": first, "to": last, **pages.page(rows, limit, lambda row: [row["id"]], shown)})

    return [
        ReadRoute(
            "GET",
            "/api/v1/analytics/groups",
            list_group_usage,
            services,
            operation="list_group_usage",
            summary="What each group used, beside its limits",
            answers=GroupUses,
        )
    ]


def _shown(row: Row, used: dict[tuple[str, str], int]) -> dict[str, Any]:
    """In the order of `COLUMNS`."""
    group = group_row(row)
    told = {"group_id": group["id"], **{name: group[name] for name in ("name", "period", "member_count")}}
    for what in ("image", "video"):
        told[f"{what}_used"] = used.get((group["id"], what), 0)
        told[f"{what}_limit"] = group[f"{what}_limit"]
        told[f"{what}_remaining"] = group["remaining"][what]
    return told | {"percent": group["percent"], "status": str(group["status"])}
