"""Why a generation was allowed or refused, which grants paid, and what has happened since: from the log."""

from collections.abc import Sequence

from api.explanation import Recorded, charged_debits, explained, stored_contents, user_of_events
from api.http.caller import Call, own_only
from api.http.endpoint import endpoint
from api.http.policy import May
from api.problems import not_found
from api.reading import Json
from api.schemas_generations import Explanation
from domain.credits.address import debit_tag, reservation_tag
from domain.generations.state import stream_of
from domain.registry import SCRIP
from domain.storage.state import content_tag
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper

MAX_OWN, MAX_OTHERS = 1_000, 5_000  # events that are read
_CODEC = LedgerMapper.of(SCRIP)


@endpoint("GET /api/v1/generations/{id}/explain", May.READ_GENERATIONS, Explanation)
async def explain_generation(call: Call, id: str) -> Json:
    """Why it was allowed or refused, which grants paid, and what happened since."""
    key = f"{call.org}/{stream_of(id)}"
    own = await call.services.read_log(
        lambda log: _decoded(log.organisation(call.org).select_events(key, limit=MAX_OWN))
    )
    if not own:
        raise not_found("generation", id)
    own_only(call, user_of_events(own))
    tags = [reservation_tag(id), *map(debit_tag, charged_debits(own)), *map(content_tag, stored_contents(own))]
    others = await call.services.read_log(lambda log: _decoded(log.tagged(call.org, tags, MAX_OTHERS)))
    return Json(explained(own, others))


def _decoded(events: Sequence[LedgerEvent]) -> list[Recorded]:
    return [
        Recorded(event.position, event.stream, event.type, event.actor, event.time, _CODEC.to_domain_event(event).event)
        for event in events
    ]
