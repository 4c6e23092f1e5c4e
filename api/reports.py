"""Reports: what each thing of a kind used in a time, page by page or as a file."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Query
from pydantic import BaseModel
from starlette.responses import Response

from api.csv_text import Bom, csv_response
from api.database import Row
from api.fields import QueryDay
from api.http.caller import Call
from api.http.endpoint import Endpoint, MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.reading import Json, cursors, seen
from api.services import Services
from api.windows import Window, window

DEFAULT_DAYS = 30
MOST = 10_000  # lines of a file


class Asked(NamedTuple):
    """Whose report, from `start` to before `end`, the things whose id comes after `after`, at most `limit`."""

    org: str
    start: datetime
    end: datetime
    after: str | None
    limit: int


class Report(NamedTuple):
    """`subjects`: what it has a line for each of; `key`: the column of a row's id; `line`: a shown row as cells."""

    subjects: str
    key: str
    columns: Sequence[str]
    read: Callable[[Services, Asked], Awaitable[list[Row]]]
    shown: Callable[[Row, Window], dict[str, Any]]
    line: Callable[[dict[str, Any]], Sequence[str | int | None]]


def report_endpoint(report: Report, *, name: str, summary: str, answers: type[BaseModel]) -> Endpoint:
    """`GET /api/v1/analytics/{subjects}`."""

    async def read_report(
        call: Call,
        from_: Annotated[
            QueryDay | None, Query(alias="from", description=f"{DEFAULT_DAYS} days before `to` by default.")
        ] = None,
        to: QueryDay | None = None,
        format: Annotated[
            Literal["json", "csv"], Query(description=f"csv: the first {MOST} {report.subjects}, without pages.")
        ] = "json",
        bom: Bom = False,
        limit: Limit = 50,
        cursor: CursorText = None,
        min_position: MinPosition = None,
    ) -> Response:
        await seen(call, min_position)
        during = await window(call, from_, to, days=DEFAULT_DAYS)
        asked = Asked(call.org, during.start, during.end, None, MOST)

        def shown(row: Row) -> dict[str, Any]:
            return report.shown(row, during)

        if format == "csv":
            rows = map(shown, await report.read(call.services, asked))
            file, lines = f"{report.subjects}-usage.csv", map(report.line, rows)  # made in the thread, one by one
            return await call.services.threads.run(csv_response, file, report.columns, lines, bom=bom)
        pages = cursors(call, name, during.start.isoformat(), during.end.isoformat())
        after = pages.decode(cursor, str)[0] if cursor else None
        found = await report.read(call.services, asked._replace(after=after, limit=limit + 1))
        return Json(during.told() | pages.page(found, limit, lambda row: [row[report.key]], shown))

    declare = endpoint(f"GET /api/v1/analytics/{report.subjects}", May.READ_EVENTS, answers, name=name, summary=summary)
    return declare(read_report)
