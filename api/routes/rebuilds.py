"""The read models made anew from the log: asked for here, done by a projector, watched here."""

from typing import Any

from api.fields import Body
from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import ADMIN, May
from api.problems import Problem, not_found
from api.reading import Json
from api.rebuild_answers import Rebuild, shown, shown_to_others

PATH = "/api/v1/rebuilds"

_ASK = """
    insert into rebuilds (by) values (%s) on conflict ((true)) where state in ('requested', 'running') do nothing
    returning *, clock_timestamp() as now"""
_LAST = "select *, clock_timestamp() as now from rebuilds order by id desc limit 1"


class RebuildBody(Body):
    """Nothing to say: all read models of all organisations are made."""


@endpoint("GET /api/v1/rebuilds/current", May.READ_PLATFORM, Rebuild)
async def read_rebuild(call: Call) -> Json:
    """How far the rebuild is; or the last one, where none runs."""
    rows = await call.services.rows_of_all(_LAST)
    if not rows:
        raise not_found("rebuild", "current")
    return Json(shown(rows[0]) if call.principal.role is ADMIN else shown_to_others(rows[0]))


@endpoint("POST /api/v1/rebuilds", May.MANAGE_PLATFORM, Rebuild, status=202, keyed=False)
async def start_rebuild(call: Call, _body: RebuildBody) -> dict[str, Any]:
    """Have the read models made anew from the log, beside the live ones, and swapped in."""
    async with call.services.database.writes.connection() as connection:
        cursor = await connection.execute(_ASK, (call.principal.actor,))
        row = await cursor.fetchone()
        columns = [column.name for column in cursor.description or ()]
    if row is None:
        raise Problem(409, "in_progress", "A rebuild is running.", headers={"Retry-After": "10"})
    return shown(dict(zip(columns, row, strict=True)))
