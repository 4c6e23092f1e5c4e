"""Why a generation was allowed or refused, which grants paid, and what has happened since: from the log."""

from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute

from api.acting import own_only
from api.commands.generations import PATH
from api.database import Row
from api.explanation import Recorded, charged_debits, explained, stored_contents, user_of_events
from api.operation import Call
from api.problems import not_found
from api.reading import Json
from api.routing import ReadRoute, call_of
from api.schemas_generations import Explanation
from api.services import Services
from domain.credits.address import debit_tag, reservation_tag
from domain.generations.state import stream_of
from domain.registry import SCRIP
from domain.storage.state import content_tag
from infra.log.mapper import LedgerMapper

MAX_OWN, MAX_OTHERS = 1_000, 5_000  # events that are read
_CODEC = LedgerMapper.of(SCRIP)
_COLUMNS = "position, stream, type, actor, time, data"
_OWN = f"""
    select {_COLUMNS} from events where org = %(org)s and stream = %(stream)s
    order by version limit {MAX_OWN}"""
_OTHERS = f"""
    select {_COLUMNS} from events where org = %(org)s and tag = any(%(tags)s)
    order by position limit {MAX_OTHERS}"""


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def explain_generation(id: str, call: Annotated[Call, Depends(call_of)]) -> Json:  # noqa: A002
        own = await _read(services, _OWN, {"org": call.org, "stream": stream_of(id)})
        if not own:
            raise not_found("generation", id)
        own_only(call, user_of_events(own))
        tags = [reservation_tag(id), *map(debit_tag, charged_debits(own)), *map(content_tag, stored_contents(own))]
        others = await _read(services, _OTHERS, {"org": call.org, "tags": tags})
        return Json(explained(own, others))

    return [
        ReadRoute(
            PATH + "/{id}/explain",
            explain_generation,
            services,
            "Why it was allowed or refused, which grants paid, and what happened since",
            Explanation,
        )
    ]


async def _read(services: Services, query: str, wanted: dict[str, Any]) -> list[Recorded]:
    return await services.threads.run(_decoded, await services.rows(query, wanted))


def _decoded(rows: list[Row]) -> list[Recorded]:
    return [Recorded(**row | {"event": _CODEC.decode(row["type"], bytes(row.pop("data")))}) for row in rows]
