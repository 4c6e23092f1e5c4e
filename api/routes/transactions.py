"""An account's history: every movement of its available credits, newest first."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.routing import APIRoute

from api.fields import QueryDay
from api.movements import COLUMNS, movement
from api.operation import Call
from api.paging import CursorText, Limit
from api.positions import bounds
from api.reading import Json, MinPosition, cursors, open_text, seen
from api.routing import ReadRoute, call_of
from api.schemas import TransactionRow, page_of
from api.services import Services
from api.windows import moments
from infra.partitions import partition_of

_LIST = f"""
    select {COLUMNS} from read.transactions
    where org = %(org)s and address = %(address)s and (position, n) < (%(position)s, %(n)s)
      and (%(type)s::text is null or type = %(type)s)
      and position >= %(first)s and position < %(last)s
    order by position desc, n desc limit %(limit)s"""

LAST = 2**62


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def list_transactions(
        address: str,
        call: Annotated[Call, Depends(call_of)],
        type: Annotated[str | None, Query(max_length=64)] = None,  # noqa: A002 - the contract's name
        from_: Annotated[QueryDay | None, Query(alias="from")] = None,
        to: QueryDay | None = None,
        limit: Limit = 50,
        cursor: CursorText = None,
        min_position: MinPosition = None,
    ) -> Json:
        from_, to = await moments(services, call, from_, to)
        await seen(services, call, min_position)
        pages = cursors(services, call, "transactions", address, type or "")
        position, n = pages.decode(cursor, int, int) if cursor else (LAST, 0)
        first, last = await bounds(services, partition_of(call.org, services.ledger.writer.partitions), from_, to)
        rows = await services.rows(
            _LIST,
            {
                "org": call.org,
                "address": address,
                "position": position,
                "n": n,
                "type": type,
                "first": first,
                "last": last,
                "limit": limit + 1,
            },
        )
        await open_text(services, call, address, rows)
        return Json(pages.page(rows, limit, lambda row: [row["position"], row["n"]], movement))

    return [
        ReadRoute(
            "GET",
            "/api/v1/accounts/{address}/transactions",
            list_transactions,
            services,
            operation="list_transactions",
            summary="An account's history, newest first",
            answers=page_of(TransactionRow),
        )
    ]
