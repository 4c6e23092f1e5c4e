"""An account's history: its movements, newest first, and its statement over a period, as JSON, CSV or PDF."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.csv_text import Bom
from api.current import database_time
from api.database import Row
from api.fields import QueryDay
from api.operation import Call
from api.paging import CursorText, Limit
from api.positions import bounds
from api.problems import Problem
from api.reading import Json, MinPosition, cursors, open_text, seen
from api.routing import ReadRoute, call_of
from api.schemas import Statement, TransactionRow, page_of
from api.services import Services
from api.statement import as_csv
from api.windows import moments
from infra.partitions import partition_of
from infra.position import format_position

LAST = 2**62
MAX_MOVEMENTS = 10_000
FEW = 500  # movements that are put together without a thread
_COLUMNS = (
    "position, n, type, amount, balance_after, grant_id, reservation_id, debit_id, refund_id, transfer_id,"
    " counterparty, item, actor, sealed, created_at, generation_id"
)
_OPENING = """
    select balance_after from read.transactions
    where org = %(org)s and address = %(address)s and position < %(first)s
    order by position desc, n desc limit 1"""
_MOVEMENTS = f"""
    select {_COLUMNS} from read.transactions
    where org = %(org)s and address = %(address)s and position >= %(first)s and position < %(last)s
    order by position, n limit %(limit)s"""
LIST = f"""
    select {_COLUMNS} from read.transactions
    where org = %(org)s and address = %(address)s and (position, n) < (%(position)s, %(n)s)
      and (%(type)s::text is null or type = %(type)s)
      and position >= %(first)s and position < %(last)s
    order by position desc, n desc limit %(limit)s"""

CallNow = Annotated[Call, Depends(call_of)]


class _History:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def list_transactions(
        self,
        address: str,
        call: CallNow,
        type: Annotated[str | None, Query(max_length=64)] = None,  # noqa: A002 - the contract's name
        from_: Annotated[QueryDay | None, Query(alias="from")] = None,
        to: QueryDay | None = None,
        limit: Limit = 50,
        cursor: CursorText = None,
        min_position: MinPosition = None,
    ) -> Json:
        from_, to = await moments(self._services, call, from_, to)
        await seen(self._services, call, min_position)
        pages = cursors(self._services, call, "transactions", address, type or "")
        position, n = pages.decode(cursor, int, int) if cursor else (LAST, 0)
        first, last = await self._bounds(call, from_, to)
        wanted = {"org": call.org, "address": address, "position": position, "n": n, "type": type}
        rows = await self._services.rows(LIST, wanted | {"first": first, "last": last, "limit": limit + 1})
        await open_text(self._services, call, address, rows)
        return Json(pages.page(rows, limit, lambda row: [row["position"], row["n"]], _movement))

    async def read_statement(
        self,
        address: str,
        call: CallNow,
        from_: Annotated[QueryDay | None, Query(alias="from", description="Included.")] = None,
        to: Annotated[QueryDay | None, Query(description="Not included; none for now.")] = None,
        format: Literal["json", "csv", "pdf"] = "json",  # noqa: A002 - the contract's name
        bom: Bom = False,
        min_position: MinPosition = None,
    ) -> Response:
        from_, to = await moments(self._services, call, from_, to)
        await seen(self._services, call, min_position)
        statement = await self._statement(call, address, from_, to)
        threads = self._services.threads
        if format == "json":
            few = len(statement["movements"]) < FEW
            return Json(statement) if few else await threads.run(Json, statement)
        if format == "csv":
            return _file(await threads.run(as_csv, statement, bom=bom), "text/csv; charset=utf-8", "statement.csv")
        document = await self._services.documents.make(call.org, call.principal.actor, partial(as_pdf, statement))
        return _file(document, "application/pdf", "statement.pdf")

    async def _statement(self, call: Call, address: str, from_: Any, to: Any) -> dict[str, Any]:
        if to is None:
            to = await database_time(self._services)
        first, last = await self._bounds(call, from_, to)
        wanted = {"org": call.org, "address": address, "first": first, "last": last, "limit": MAX_MOVEMENTS + 1}
        # From the other end of time nothing was there, so without `from` the opening is zero.
        before = await self._services.row(_OPENING, wanted) if from_ is not None else None
        rows = await self._services.rows(_MOVEMENTS, wanted)
        if len(rows) > MAX_MOVEMENTS:
            raise Problem(
                422,
                "too_many_movements",
                f"The period has more than {MAX_MOVEMENTS} movements. Ask for a shorter one.",
                field="from",
                limit=MAX_MOVEMENTS,
            )
        await open_text(self._services, call, address, rows)
        opening = before["balance_after"] if before else 0
        few = len(rows) < FEW
        movements = _movements(rows) if few else await self._services.threads.run(_movements, rows)
        closing = movements[-1]["balance_after"] if movements else opening
        times = {"from": from_, "to": to}
        return {"address": address, **times, "opening": opening, "closing": closing, "movements": movements}

    async def _bounds(self, call: Call, from_: Any, to: Any) -> tuple[int, int]:
        return await bounds(self._services, partition_of(call.org, self._services.ledger.writer.partitions), from_, to)


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    handlers = _History(services)
    path = "/api/v1/accounts/{address}"
    return [
        ReadRoute(
            path + "/transactions",
            handlers.list_transactions,
            services,
            "An account's history, newest first",
            page_of(TransactionRow),
        ),
        ReadRoute(
            path + "/statement",
            handlers.read_statement,
            services,
            "Opening balance, movements and closing balance of a period",
            Statement,
        ),
    ]


def as_pdf(statement: dict[str, Any]) -> bytes:
    """The document to print. What makes it is loaded with the first one: it is a third of what the API loads."""
    from api import statement_pdf  # noqa: PLC0415 - see above

    return statement_pdf.as_pdf(statement)


def _file(body: bytes, media_type: str, name: str) -> Response:
    return Response(body, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _movements(rows: list[Row]) -> list[dict[str, Any]]:
    return [_movement(row) for row in rows]


def _movement(row: Row) -> dict[str, Any]:
    """A row of `read.transactions`, its text opened before."""
    n = row.pop("n")
    position = format_position(row.pop("position"))
    row.pop("metadata", None)
    return {"id": f"{position}-{n}", **row, "position": position}
