"""The event log as auditors read it: what is stored, in order, personal text sealed."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Query
from fastapi.routing import APIRoute

from api.fields import QueryDay
from api.operation import Call
from api.paging import CursorText, Limit
from api.positions import bounds
from api.problems import invalid, not_found
from api.reading import Json, cursors
from api.routing import ReadRoute, call_of
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

CallNow = Annotated[Call, Depends(call_of)]
# Names of streams, types and actors have no spaces, so one that has is a `+` that was not escaped.
Filter = Annotated[str | None, Query(max_length=1_000, pattern=r"^[!-~]*$")]


class _Events:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def list_events(
        self,
        call: CallNow,
        stream: Filter = None,
        type: Filter = None,  # noqa: A002 - the contract's name
        actor: Filter = None,
        from_: Annotated[QueryDay | None, Query(alias="from")] = None,
        to: QueryDay | None = None,
        after: Annotated[str | None, Query(description="A position: what comes later.")] = None,
        order: Annotated[Literal["asc", "desc"], Query(description="`desc`: newest first.")] = "asc",
        limit: Limit = 50,
        cursor: CursorText = None,
    ) -> Json:
        from_, to = await moments(self._services, call, from_, to)
        pages = cursors(self._services, call, "events", stream or "", type or "", actor or "", order)
        edge = pages.decode(cursor, int)[0] if cursor else None
        start = _position("after", after) if after else 0
        partition = partition_of(call.org, self._services.ledger.writer.partitions)
        first, last = await bounds(self._services, partition, from_, to)
        wanted = {"stream": stream, "topics": [type] if type else [], "actor": actor}
        if order == "desc":
            first, last = max(start + 1, first), min(last, edge or last) - 1
        else:
            first, last = max(start + 1, first, (edge or 0) + 1), last - 1
        found, next_ = await self._services.read_log(
            lambda log: _page(log.organisation(call.org), first, last, limit, order == "desc", wanted)
        )
        items = [_shown(event) for event in found]
        return Json({"items": items, "next_cursor": pages.encode([next_]) if next_ else None})

    async def read_event(self, position: str, call: CallNow) -> Json:
        return Json(_shown(await self._one(call.org, position)))

    async def read_stream_state(self, position: str, call: CallNow) -> Json:
        event = await self._one(call.org, position)
        async with self._services.folds.enter(call.org, call.principal.actor):
            before, after = await state_around(self._services, call.org, event.stream, event.version)
        told = {
            "position": position,
            "stream": event.stream,
            "stream_version": event.version,
            "before": shown(before, after),
            "after": shown(after, before),
            "counts": {"before": counts(before), "after": counts(after)},
        }
        return Json(told)

    async def _one(self, org: str, position: str) -> LedgerEvent:
        at = _position("position", position)
        for event in await self._services.read_log(lambda log: log.organisation(org).select_notifications(at, 1, at)):
            return event
        raise not_found("event", position)


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    handlers = _Events(services)
    path = "/api/v1/events"
    return [
        ReadRoute(
            path, handlers.list_events, services, "The organisation's events, oldest or newest first", page_of(EventRow)
        ),
        ReadRoute(path + "/{position}", handlers.read_event, services, "One event", EventRow),
        ReadRoute(
            path + "/{position}/state",
            handlers.read_stream_state,
            services,
            "The state of an event's stream before and after it",
            StreamStates,
        ),
    ]


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
