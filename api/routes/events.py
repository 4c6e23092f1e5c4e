"""The event log as auditors read it: what is stored, in order, personal text sealed."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Query
from fastapi.routing import APIRoute

from api.database import Row
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
from infra.partitions import partition_of
from infra.position import format_position, parse_position

WINDOW = 20_000  # positions that one look goes through, so that a rare filter never becomes a long query
LOOKS = 10
MAX_BYTES = 4_000_000  # of stored bytes in a page, the event that passes it included: an event may have a megabyte

_COLUMNS = "position, stream, version, type, tag, actor, time, data, hash"
_LIST = f"""
    select {_COLUMNS} from events
    where partition = %(partition)s and position > %(after)s and position <= %(until)s and org = %(org)s
      and (%(type)s::text is null or type = %(type)s) and (%(actor)s::text is null or actor = %(actor)s)
    order by position limit %(limit)s"""
_NEWEST = _LIST.replace("order by position", "order by position desc")
_WITHIN = f"""
    select {_COLUMNS} from (
        select n.*, sum(length(data)) over (order by {{order}}) - length(data) as before from ({{query}}) n
    ) e where before < {MAX_BYTES} order by {{order}}"""
_STREAM = f"""
    select {_COLUMNS} from events
    where org = %(org)s and stream = %(stream)s and position > %(after)s and position <= %(until)s
      and (%(type)s::text is null or type = %(type)s) and (%(actor)s::text is null or actor = %(actor)s)
    order by version limit %(limit)s"""
_STREAM_NEWEST = _STREAM.replace("order by version", "order by version desc")
_ONE = f"select {_COLUMNS} from events where partition = %(partition)s and position = %(position)s and org = %(org)s"
_HEAD = "select coalesce(max(position), 0) as position from events where partition = %s"

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
        wanted = {"org": call.org, "stream": stream, "type": type, "actor": actor}
        first, last = await bounds(self._services, self._partition(call.org), from_, to)
        if order == "asc":
            rows, next_ = await self._look(wanted, max(start, first - 1, edge or 0), last - 1, limit)
        else:
            rows, next_ = await self._look_back(wanted, max(start, first - 1), min(last, edge or last) - 1, limit)
        return Json({"items": [_shown(row) for row in rows], "next_cursor": pages.encode([next_]) if next_ else None})

    async def read_event(self, position: str, call: CallNow) -> Json:
        return Json(_shown(await self._one(call.org, position)))

    async def read_stream_state(self, position: str, call: CallNow) -> Json:
        row = await self._one(call.org, position)
        async with self._services.folds.enter(call.org, call.principal.actor):
            before, after = await state_around(self._services, call.org, row["stream"], row["version"])
        told = {
            "position": position,
            "stream": row["stream"],
            "stream_version": row["version"],
            "before": shown(before, after),
            "after": shown(after, before),
            "counts": {"before": counts(before), "after": counts(after)},
        }
        return Json(told)

    async def _one(self, org: str, position: str) -> Row:
        wanted = {"org": org, "partition": self._partition(org), "position": _position("position", position)}
        row = await self._services.row(_ONE, wanted)
        if row is None:
            raise not_found("event", position)
        return row

    async def _look(self, wanted: dict[str, Any], after: int, last: int, limit: int) -> tuple[list[Row], int | None]:
        """A page of events after `after` up to `last`, and the position to go on from; none at the end.

        A page may hold fewer events than asked for, or none, where the filter matches rarely.
        """
        end = min(last, await self._head(wanted["org"]))
        found: list[Row] = []
        for _ in range(LOOKS):
            until = end if wanted["stream"] else min(after + WINDOW, end)
            query = _STREAM if wanted["stream"] else _LIST
            found += await self._page(query, wanted, after, until, limit + 1 - len(found))
            if len(found) > limit or _is_full(found):
                return found[:limit], found[:limit][-1]["position"]
            after = until
            if after >= end:
                return found, None
        return found, after

    async def _look_back(
        self, wanted: dict[str, Any], first: int, until: int, limit: int
    ) -> tuple[list[Row], int | None]:
        """A page of events up to `until`, newest first, and the position before which to go on; none at `first`."""
        until = min(until, await self._head(wanted["org"]))
        found: list[Row] = []
        for _ in range(LOOKS):
            after = first if wanted["stream"] else max(until - WINDOW, first)
            query = _STREAM_NEWEST if wanted["stream"] else _NEWEST
            found += await self._page(query, wanted, after, until, limit + 1 - len(found))
            if len(found) > limit or _is_full(found):
                return found[:limit], found[:limit][-1]["position"]
            until = after
            if until <= first:
                return found, None
        return found, until + 1

    async def _page(self, query: str, wanted: dict[str, Any], after: int, until: int, limit: int) -> list[Row]:
        partition = self._partition(wanted["org"])
        asked = {**wanted, "partition": partition, "after": after, "until": until, "limit": limit}
        # Within a stream this is the order of versions too.
        order = "position desc" if query in (_NEWEST, _STREAM_NEWEST) else "position"
        return await self._services.rows(_WITHIN.format(query=query, order=order), asked)

    async def _head(self, org: str) -> int:
        head = await self._services.rows_of_all(_HEAD, (self._partition(org),))
        return int(head[0]["position"])

    def _partition(self, org: str) -> int:
        return partition_of(org, self._services.ledger.writer.partitions)


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


def _is_full(found: list[Row]) -> bool:
    return sum(len(row["data"]) for row in found) >= MAX_BYTES


def _position(name: str, text: str) -> int:
    try:
        return parse_position(text)
    except ValueError:
        raise invalid(name, "must be the position of an earlier answer") from None


def _shown(row: Row) -> dict[str, Any]:
    stored = msgspec.json.decode(row["data"])
    return {
        **row,
        "position": format_position(row["position"]),
        "cause": stored["cause"],
        "data": stored["data"],
        "hash": bytes(row["hash"]).hex(),
    }
