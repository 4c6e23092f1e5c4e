"""Whose a generation, a content or a reservation is, from the write side: the path names only its id."""

from dataclasses import replace
from typing import Any

from api.current import read_current
from api.database import UNREACHABLE
from api.http.caller import Call, Found, own_only
from api.problems import Problem, away, refused
from api.services import Services
from domain.credits.address import reservation_tag
from domain.credits.address import stream_of as account_stream
from domain.credits.refusals import NotFound
from domain.generations.refusals import NoSuchGeneration
from domain.generations.state import Generation, stream_of
from domain.refusal import Refusal
from domain.storage.events import ContentStored
from domain.storage.refusals import NoSuchContent
from domain.storage.state import PREFIX, content_tag
from infra.writer.submission import Refused

_RESERVED_BY = """
    select actor from events
    where org = %(org)s and tag = %(tag)s and stream = %(stream)s and type like 'credits-reserved.%%'
    order by position limit 1"""


async def of_generation(call: Call, _body: Any = None) -> Call:
    """The call with the user whose generation it is about. Raises Problem (403, 404, 503)."""
    owner = await generation_user(call.services, call.org, call.id)
    if owner is None:
        raise _missing(NoSuchGeneration(generation_id=call.id))
    own_only(call, owner)
    return replace(call, found=Found(owner=owner))


async def of_content(call: Call, _body: Any = None) -> Call:
    """The call with the user whose content it is about. Raises Problem (403, 404, 503)."""
    tag = content_tag(call.id)
    now = await read_current(call.services, call.org, tags=(tag,))
    streams = [stream for stream, event in now.tagged[tag] if isinstance(event, ContentStored)]
    if not streams:
        raise _missing(NoSuchContent(content_id=call.id))
    owner = streams[-1].removeprefix(PREFIX)
    own_only(call, owner)
    return replace(call, found=Found(owner=owner))


async def generation_user(services: Services, org: str, generation_id: str) -> str | None:
    """The user whose generation it is, none where there is no such generation. Raises Problem (503)."""
    known = services.owners.user(org, generation_id)
    if known is not None:
        return known
    stream = stream_of(generation_id)
    generation: Generation = (await read_current(services, org, stream)).states[stream]
    if generation.asked is None:
        return None
    services.owners.note(org, generation_id, generation.asked.user)
    return generation.asked.user


async def reserved_by_caller(call: Call, reservation_id: str) -> None:
    """Raises Problem: 403 for a reservation of the caller's credits that another caller has made, 404 for none, 503.

    A user who could release what a worker holds would have the work for nothing. One that is not there yet is refused
    here, for the decision, which comes later, does not know who has made it.
    """
    wanted = {
        "org": call.org,
        "tag": reservation_tag(reservation_id),
        "stream": account_stream(f"user:{call.principal.sub}:credits"),
    }
    try:
        row = await call.services.row(_RESERVED_BY, wanted)
    except UNREACHABLE as error:
        raise away(error) from None
    if row is None:
        raise _missing(NotFound(what="reservation", id=reservation_id))
    if row["actor"] != call.principal.actor:
        raise Problem(403, "not_own", "Only who reserved this can settle it here.", field="transaction_id")


def _missing(refusal: Refusal) -> Problem:
    return refused(Refused.of(refusal))
