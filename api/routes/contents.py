"""Stored generations (S0)."""

from typing import Annotated, Any, Literal

from fastapi import Query

from api.database import Row
from api.fields import UserId
from api.http.caller import Call, user_of
from api.http.endpoint import MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.reading import Json, cursors, seen
from api.schemas import page_of
from api.schemas_generations import ContentRow
from api.services import Services
from domain.wording import bytes_text
from infra.position import format_position

MAX_OF_ONE = 500
LAST = 2**62
_COLUMNS = "id, user_id, generation_id, bytes, sealed, created_at, created_position, position"
_BY_SIZE = f"""
    select {_COLUMNS} from read.contents
    where org = %(org)s and user_id = %(user)s and deleted_at is null
      and (bytes < %(key)s or (bytes = %(key)s and id > %(id)s))
    order by bytes desc, id limit %(limit)s"""
_BY_AGE = f"""
    select {_COLUMNS} from read.contents
    where org = %(org)s and user_id = %(user)s and deleted_at is null and (created_position, id) > (%(key)s, %(id)s)
    order by created_position, id limit %(limit)s"""
_OF_ONE = f"""
    select {_COLUMNS} from read.contents
    where org = %(org)s and generation_id = %(id)s and deleted_at is null
    order by created_position, id limit {MAX_OF_ONE}"""


@endpoint("GET /api/v1/contents", May.READ_GENERATIONS, page_of(ContentRow))
async def list_contents(
    call: Call,
    user_id: UserId = None,
    sort: Annotated[
        Literal["size", "age"], Query(description="The largest first, or the oldest: what to delete.")
    ] = "age",
    limit: Limit = 50,
    cursor: CursorText = None,
    min_position: MinPosition = None,
) -> Json:
    """A user's stored generations."""
    user = user_of(call, user_id)
    await seen(call, min_position)
    query, column, start = (_BY_SIZE, "bytes", LAST) if sort == "size" else (_BY_AGE, "created_position", 0)
    pages = cursors(call, "contents", user, sort)
    key, id_ = pages.decode(cursor, int, str) if cursor else (start, "")
    wanted = {"org": call.org, "user": user, "key": key, "id": id_, "limit": limit + 1}
    rows = await call.services.rows(query, wanted)
    page = pages.page(rows, limit, lambda row: [row[column], row["id"]], lambda row: row)
    page["items"] = await call.services.threads.run(_shown, call.services, call.org, page["items"])
    return Json(page)


async def stored_of(services: Services, org: str, generation_id: str) -> list[dict[str, Any]]:
    """What one generation has stored and nobody has deleted."""
    rows = await services.rows(_OF_ONE, {"org": org, "id": generation_id})
    return await services.threads.run(_shown, services, org, rows)


def _shown(services: Services, org: str, rows: list[Row]) -> list[dict[str, Any]]:
    return [_content(row, services.sealer.open(org, f"user:{row['user_id']}", row.pop("sealed"))) for row in rows]


def _content(row: Row, text: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "content_id": row["id"],
        "user_id": row["user_id"],
        "generation_id": row["generation_id"],
        "bytes": row["bytes"],
        "formatted": bytes_text(row["bytes"]),
        "url": (text or {}).get("url"),
        "created_at": row["created_at"],
        "position": format_position(row["position"]),
    }
