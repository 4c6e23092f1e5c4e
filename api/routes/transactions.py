"""An account's history: its movements, newest first, and its statement over a period, as JSON, CSV or PDF."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query
from starlette.responses import Response

from api.csv_text import Bom
from api.current import database_time
from api.database import Row
from api.fields import QueryDay
from api.http.caller import Call
from api.http.endpoint import MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.positions import bounds
from api.problems import Problem
from api.reading import Json, cursors, open_text, seen
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
_LIST = f"""
    select {_COLUMNS} from read.transactions
    where org = %(org)s and address = %(address)s and (position, n) < (%(position)s, %(n)s)
      and (%(type)s::text is null or type = %(type)s)
      and position >= %(first)s and position < %(last)s
    order by position desc, n desc limit %(limit)s"""


@endpoint("GET /api/v1/accounts/{address}/transactions", May.READ_CREDITS, page_of(TransactionRow))
async def list_transactions(
    call: Call,
    address: str,
    type: Annotated[str | None, Query(max_length=64)] = None,
    from_: Annotated[QueryDay | None, Query(alias="from")] = None,
    to: QueryDay | None = None,
    limit: Limit = 50,
    cursor: CursorText = None,
    min_position: MinPosition = None,
) -> Json:
    """An account's history, newest first."""
    from_, to = await moments(call, from_, to)
    await seen(call, min_position)
    pages = cursors(call, "transactions", address, type or "")
    position, n = pages.decode(cursor, int, int) if cursor else (LAST, 0)
    first, last = await _bounds(call.services, call, from_, to)
    wanted = {"org": call.org, "address": address, "position": position, "n": n, "type": type}
    rows = await call.services.rows(_LIST, wanted | {"first": first, "last": last, "limit": limit + 1})
    await open_text(call, address, rows)
    return Json(pages.page(rows, limit, lambda row: [row["position"], row["n"]], _movement))


@endpoint("GET /api/v1/accounts/{address}/statement", May.READ_CREDITS, Statement)
async def read_statement(
    call: Call,
    address: str,
    from_: Annotated[QueryDay | None, Query(alias="from", description="Included.")] = None,
    to: Annotated[QueryDay | None, Query(description="Not included; none for now.")] = None,
    format: Literal["json", "csv", "pdf"] = "json",
    bom: Bom = False,
    min_position: MinPosition = None,
) -> Response:
    """Opening balance, movements and closing balance of a period."""
    from_, to = await moments(call, from_, to)
    await seen(call, min_position)
    statement = await _statement(call.services, call, address, from_, to)
    threads = call.services.threads
    if format == "json":
        few = len(statement["movements"]) < FEW
        return Json(statement) if few else await threads.run(Json, statement)
    if format == "csv":
        return _file(await threads.run(as_csv, statement, bom=bom), "text/csv; charset=utf-8", "statement.csv")
    document = await call.services.documents.make(call.org, call.principal.actor, partial(as_pdf, statement))
    return _file(document, "application/pdf", "statement.pdf")


async def _statement(services: Services, call: Call, address: str, from_: Any, to: Any) -> dict[str, Any]:
    if to is None:
        to = await database_time(services)
    first, last = await _bounds(services, call, from_, to)
    wanted = {"org": call.org, "address": address, "first": first, "last": last, "limit": MAX_MOVEMENTS + 1}
    # From the other end of time nothing was there, so without `from` the opening is zero.
    before = await services.row(_OPENING, wanted) if from_ is not None else None
    rows = await services.rows(_MOVEMENTS, wanted)
    if len(rows) > MAX_MOVEMENTS:
        raise Problem(
            422,
            "too_many_movements",
            f"The period has more than {MAX_MOVEMENTS} movements. Ask for a shorter one.",
            field="from",
            limit=MAX_MOVEMENTS,
        )
    await open_text(call, address, rows)
    opening = before["balance_after"] if before else 0
    few = len(rows) < FEW
    movements = _movements(rows) if few else await services.threads.run(_movements, rows)
    closing = movements[-1]["balance_after"] if movements else opening
    times = {"from": from_, "to": to}
    return {"address": address, **times, "opening": opening, "closing": closing, "movements": movements}


async def _bounds(services: Services, call: Call, from_: Any, to: Any) -> tuple[int, int]:
    return await bounds(services, partition_of(call.org, services.ledger.writer.partitions), from_, to)


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
