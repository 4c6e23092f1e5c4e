"""The read models made anew from the log: asked for here, done by a projector, watched here."""

from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute

from api.fields import Body
from api.operation import Call
from api.policy import ADMIN
from api.problems import Problem, not_found
from api.reading import Json
from api.rebuild_answers import Rebuild, shown, shown_to_others
from api.routing import BodyRoute, Given, ReadRoute, call_of
from api.services import Services

PATH = "/api/v1/rebuilds"

_ASK = """
    insert into rebuilds (by) values (%s) on conflict ((true)) where state in ('requested', 'running') do nothing
    returning *, clock_timestamp() as now"""
_LAST = "select *, clock_timestamp() as now from rebuilds order by id desc limit 1"


class RebuildBody(Body):
    """Nothing to say: all read models of all organisations are made."""


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def read_rebuild(call: Annotated[Call, Depends(call_of)]) -> Json:
        rows = await services.rows_of_all(_LAST)
        if not rows:
            raise not_found("rebuild", "current")
        return Json(shown(rows[0]) if call.principal.role is ADMIN else shown_to_others(rows[0]))

    return [
        BodyRoute(
            PATH,
            _start_rebuild,
            services,
            "Have the read models made anew from the log, beside the live ones, and swapped in",
            RebuildBody,
            Rebuild,
            status=202,
            keyed=False,
        ),
        ReadRoute(
            PATH + "/current",
            read_rebuild,
            services,
            "How far the rebuild is; or the last one, where none runs",
            Rebuild,
        ),
    ]


async def _start_rebuild(given: Given) -> tuple[dict[str, Any], None]:
    async with given.services.database.writes.connection() as connection:
        cursor = await connection.execute(_ASK, (given.call.principal.actor,))
        row = await cursor.fetchone()
        columns = [column.name for column in cursor.description or ()]
    if row is None:
        raise Problem(409, "in_progress", "A rebuild is running.", headers={"Retry-After": "10"})
    return shown(dict(zip(columns, row, strict=True))), None
