"""The event log as auditors read it: what is stored, in order, personal text sealed."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query

from api.fields import QueryDay
from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.positions import bounds
from api.problems import invalid, not_found
from api.reading import Json, cursors
from api.schemas import EventRow, page_of
from api.services import Services
from api.stream_state import StreamStates, counts, shown, state_around
from api.windows import moments
from infra.log.events import LedgerEvent
from infra.log.recorder import OrganisationLog
from infra.partitions import partition_of
from infra.position import format_position, parse_position

MOST_LOOKED = 200_000  # positions that one page goes through, so that a rare filter never becomes a long read
MAX_BYTES = 4_000_000  # of stored bytes in a page, the event that passes it included: an event may have a megabyte

# Names of streams, types and actors have no spaces, so one that has is a `+` that was not escaped.
Filter = Annotated[str | None, Query(max_length=1_000, pattern=r"^[!-~]*$")]


@endpoint("GET /api/v1/events", May.READ_EVENTS, page_of(EventRow))
async def list_events(
    call: Call,
    stream: Filter = None,
    type: Filter = None,
    actor: Filter = None,
    from_: Annotated[QueryDay | None, Query(alias="from")] = None,
    to: QueryDay | None = None,
    after: Annotated[str | None, Query(description="A position: what comes later.")] = None,
    order: Annotated[Literal["asc", "desc"], Query(description="`desc`: newest first.")] = "asc",
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Json:
    """The organisation's events, oldest or newest first."""
    from_, to = await moments(call, from_, to)
    pages = cursors(call, "events", stream or "", type or "", actor or "", order)
    edge = pages.decode(cursor, int)[0] if cursor else None
    start = _position("after", after) if after else 0
    partition = partition_of(call.org, call.services.ledger.writer.partitions)
    first, last = await bounds(call.services, partition, from_, to)
    wanted = {"stream": stream, "topics": [type] if type else [], "actor": actor}
    if order == "desc":
        first, last = max(start + 1, first), min(last, edge or last) - 1
    else:
        first, last = max(start + 1, first, (edge or 0) + 1), last - 1
    found, next_ = await call.services.read_log(
        lambda log: _page(log.organisation(call.org), first, last, limit, order == "desc", wanted)
    )
    items = [_shown(event) for event in found]
    return Json({"items": items, "next_cursor": pages.encode([next_]) if next_ else None})


@endpoint("GET /api/v1/events/{position}", May.READ_EVENTS, EventRow)
async def read_event(call: Call, position: str) -> Json:
    """One event."""
    return Json(_shown(await _one(call.services, call.org, position)))


@endpoint("GET /api/v1/events/{position}/state", May.READ_EVENTS, StreamStates)
async def read_stream_state(call: Call, position: str) -> Json:
    """The state of an event's stream before and after it."""
    event = await _one(call.services, call.org, position)
    async with call.services.folds.enter(call.org, call.principal.actor):
        before, after = await state_around(call.services, call.org, event.stream, event.version)
    told = {
        "position": position,
        "stream": event.stream,
        "stream_version": event.version,
        "before": shown(before, after),
        "after": shown(after, before),
        "counts": {"before": counts(before), "after": counts(after)},
    }
    return Json(told)


async def _one(services: Services, org: str, position: str) -> LedgerEvent:
    at = _position("position", position)
    for event in await services.read_log(lambda log: log.organisation(org).select_notifications(at, 1, at)):
        return event
    raise not_found("event", position)


def _page(
    view: OrganisationLog, first: int, last: int, limit: int, desc: bool, wanted: dict[str, Any]
) -> tuple[Sequence[LedgerEvent], int | None]:
    """A page of the events from `first` to `last`, and the position from which to go on; none at the end.

    It may hold fewer events than asked for, or none, where the filter matches rarely.
    """
    last = min(last, view.head)
    start, stop = (last, first) if desc else (first, last)
    end = stop
    if wanted["stream"] is None:  # otherwise an index says where the events are
        stop = max(first, last + 1 - MOST_LOOKED) if desc else min(last, first - 1 + MOST_LOOKED)
    found = view.select_notifications(start, limit + 1, stop, desc=desc, max_bytes=MAX_BYTES, **wanted)
    if len(found) > limit or sum(len(event.data) for event in found) >= MAX_BYTES:
        return found[:limit], found[:limit][-1].position
    return found, None if stop == end else stop


def _position(name: str, text: str) -> int:
    try:
        return parse_position(text)
    except ValueError:
        raise invalid(name, "must be the position of an earlier answer") from None


def _shown(event: LedgerEvent) -> dict[str, Any]:
    stored = msgspec.json.decode(event.data)
    return {
        "position": format_position(event.position),
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "tag": event.tag,
        "actor": event.actor,
        "time": event.time,
        "data": stored["data"],
        "hash": event.hash.hex(),
        "cause": stored["cause"],
    }
