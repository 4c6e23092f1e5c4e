"""Usage events that could not be applied, and another try for one of them."""

from datetime import datetime
from typing import Any, Literal

import structlog

from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.problems import Problem, unknown_outcome
from api.reading import Json, cursors
from api.schemas import QuarantineRow, page_of

_LIST = """
    select id, source, event_id, reason, detail, attempts, at, tried_at, resolved_at from quarantine
    where org = %(org)s and (%(all)s or resolved_at is null)
      and (%(at)s::timestamptz is null or (at, id) > (%(at)s, %(id)s))
    order by at, id limit %(limit)s"""

log = structlog.get_logger()


@endpoint("GET /api/v1/quarantine", May.READ_QUARANTINE, page_of(QuarantineRow))
async def list_quarantine(
    call: Call, status: Literal["open", "all"] = "open", limit: Limit = 50, cursor: CursorText = None
) -> Json:
    """Usage events that could not be applied, oldest first."""
    pages = cursors(call, "quarantine", status)
    at, id_ = pages.decode(cursor, datetime, str) if cursor else (None, "")
    rows = await call.services.rows(
        _LIST, {"org": call.org, "all": status == "all", "at": at, "id": id_, "limit": limit + 1}
    )
    return Json(pages.page(rows, limit, lambda row: [row["at"], row["id"]], lambda row: row))


@endpoint("POST /api/v1/quarantine/{id}/retry", May.RETRY_QUARANTINED)
async def retry_quarantined(call: Call, id: str) -> Json:
    """Try a usage event again."""
    if call.services.retry is None:
        raise Problem(503, "not_offered", "This process cannot retry usage events.")
    try:
        result: dict[str, Any] = await call.services.retry(call.org, id)
    except TimeoutError:
        raise unknown_outcome() from None
    log.info("usage event retried", actor=call.principal.actor, org=call.org, id=id)
    return Json(result)
