"""An account's statement over a period, as JSON, CSV or PDF."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.csv_text import Bom
from api.current import database_time
from api.fields import QueryDay
from api.movements import COLUMNS, movement
from api.operation import Call
from api.positions import bounds
from api.problems import Problem
from api.reading import Json, MinPosition, open_text, seen
from api.routing import ReadRoute, call_of
from api.schemas import Statement
from api.services import Row, Services
from api.statement import as_csv
from api.windows import moments
from infra.partitions import partition_of

MAX_MOVEMENTS = 10_000
FEW = 500  # movements that are put together without a thread
_OPENING = """
    select balance_after from read.transactions
    where org = %(org)s and address = %(address)s and position < %(first)s
    order by position desc, n desc limit 1"""
_MOVEMENTS = f"""
    select {COLUMNS} from read.transactions
    where org = %(org)s and address = %(address)s and position >= %(first)s and position < %(last)s
    order by position, n limit %(limit)s"""


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def read_statement(
        address: str,
        call: Annotated[Call, Depends(call_of)],
        from_: Annotated[QueryDay | None, Query(alias="from", description="Included.")] = None,
        to: Annotated[QueryDay | None, Query(description="Not included; none for now.")] = None,
        format: Literal["json", "csv", "pdf"] = "json",  # noqa: A002 - the contract's name
        bom: Bom = False,
        min_position: MinPosition = None,
    ) -> Response:
        from_, to = await moments(services, call, from_, to)
        await seen(services, call, min_position)
        statement = await _read(services, call, address, from_, to)
        if format == "json":
            few = len(statement["movements"]) < FEW
            return Json(statement) if few else await services.threads.run(Json, statement)
        if format == "csv":
            return _file(
                await services.threads.run(as_csv, statement, bom=bom), "text/csv; charset=utf-8", "statement.csv"
            )
        document = await services.documents.make(call.org, call.principal.actor, partial(as_pdf, statement))
        return _file(document, "application/pdf", "statement.pdf")

    return [
        ReadRoute(
            "GET",
            "/api/v1/accounts/{address}/statement",
            read_statement,
            services,
            operation="read_statement",
            summary="Opening balance, movements and closing balance of a period",
            answers=Statement,
        )
    ]


async def _read(services: Services, call: Call, address: str, from_: Any, to: Any) -> dict[str, Any]:
    if to is None:
        to = await database_time(services)
    first, last = await bounds(services, partition_of(call.org, services.ledger.writer.partitions), from_, to)
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
    await open_text(services, call, address, rows)
    opening = before["balance_after"] if before else 0
    few = len(rows) < FEW
    movements = _shown(rows) if few else await services.threads.run(_shown, rows)
    closing = movements[-1]["balance_after"] if movements else opening
    return {
        "address": address,
        "from": from_,
        "to": to,
        "opening": opening,
        "closing": closing,
        "movements": movements,
    }


def _shown(rows: list[Row]) -> list[dict[str, Any]]:
    return [movement(row) for row in rows]


def as_pdf(statement: dict[str, Any]) -> bytes:
    """The document to print. What makes it is loaded with the first one: it is a third of what the API loads."""
    from api import statement_pdf  # noqa: PLC0415 - see above

    return statement_pdf.as_pdf(statement)


def _file(body: bytes, media_type: str, name: str) -> Response:
    return Response(body, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})
