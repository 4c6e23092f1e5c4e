"""Usage events that could not be applied, and another try for one of them."""

from datetime import datetime
from typing import Annotated, Any, Literal

import structlog
from fastapi import Depends
from fastapi.routing import APIRoute

from api.operation import Call
from api.paging import CursorText, Limit
from api.problems import Problem, unknown_outcome
from api.reading import Json, cursors
from api.routing import ReadRoute, call_of
from api.schemas import QuarantineRow, page_of
from api.services import Services

_LIST = """
    select id, source, event_id, reason, detail, attempts, at, tried_at, resolved_at from quarantine
    where org = %(org)s and (%(all)s or resolved_at is null)
      and (%(at)s::timestamptz is null or (at, id) > (%(at)s, %(id)s))
    order by at, id limit %(limit)s"""

CallNow = Annotated[Call, Depends(call_of)]
log = structlog.get_logger()


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def list_quarantine(
        call: CallNow, status: Literal["open", "all"] = "open", limit: Limit = 50, cursor: CursorText = None
    ) -> Json:
        pages = cursors(services, call, "quarantine", status)
        at, id_ = pages.decode(cursor, datetime, str) if cursor else (None, "")
        rows = await services.rows(
            _LIST, {"org": call.org, "all": status == "all", "at": at, "id": id_, "limit": limit + 1}
        )
        return Json(pages.page(rows, limit, lambda row: [row["at"], row["id"]], lambda row: row))

    async def retry_quarantined(id: str, call: CallNow) -> Json:  # noqa: A002
        if services.retry is None:
            raise Problem(503, "not_offered", "This process cannot retry usage events.")
        try:
            result: dict[str, Any] = await services.retry(call.org, id)
        except TimeoutError:
            raise unknown_outcome() from None
        log.info("usage event retried", actor=call.principal.actor, org=call.org, id=id)
        return Json(result)

    return [
        ReadRoute(
            "/api/v1/quarantine",
            list_quarantine,
            services,
            "Usage events that could not be applied, oldest first",
            page_of(QuarantineRow),
        ),
        ReadRoute(
            "/api/v1/quarantine/{id}/retry", retry_quarantined, services, "Try a usage event again", method="POST"
        ),
    ]
