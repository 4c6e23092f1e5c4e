"""The event log as auditors read it: what is stored, in order, personal text sealed."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Query
from fastapi.routing import APIRoute

from api.fields import QueryTime
from api.operation import Call
from api.paging import CursorText, Limit
from api.positions import bounds
from api.problems import invalid, not_found
from api.reading import Json, between, current, cursors
from api.routing import ReadRoute, call_of
from api.schemas import EventRow, page_of
from api.services import Row, Services
from infra.partitions import partition_of
from infra.position import format_position, parse_position

WINDOW = 20_000  # positions that one look goes through, so that a rare filter never becomes a long query
LOOKS = 10

_COLUMNS = "position, stream, version, type, tag, actor, time, data, hash"
_LIST = f"""
    select {_COLUMNS} from events
    where partition = %(partition)s and position > %(after)s and position <= %(until)s and org = %(org)s
      and (%(type)s::text is null or type = %(type)s) and (%(actor)s::text is null or actor = %(actor)s)
    order by position limit %(limit)s"""
_STREAM = f"""
    select {_COLUMNS} from events
    where org = %(org)s and stream = %(stream)s and position > %(after)s and position <= %(until)s
      and (%(type)s::text is null or type = %(type)s) and (%(actor)s::text is null or actor = %(actor)s)
    order by version limit %(limit)s"""
_ONE = f"select {_COLUMNS} from events where partition = %(partition)s and position = %(position)s and org = %(org)s"
_HEAD = "select coalesce(max(position), 0) as position from events where partition = %s"

CallNow = Annotated[Call, Depends(call_of)]
Filter = Annotated[str | None, Query(max_length=1_000, pattern=r"^[^\x00]*$")]


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def list_events(
        call: CallNow,
        stream: Filter = None,
        type: Filter = None,  # noqa: A002 - the contract's name
        actor: Filter = None,
        from_: Annotated[QueryTime | None, Query(alias="from")] = None,
        to: QueryTime | None = None,
        after: Annotated[str | None, Query(description="A position: what comes later.")] = None,
        limit: Limit = 50,
        cursor: CursorText = None,
    ) -> Json:
        between(from_, to)
        pages = cursors(services, call, "events", stream or "", type or "", actor or "")
        start = pages.decode(cursor, int)[0] if cursor else _position("after", after) if after else 0
        wanted = {"org": call.org, "stream": stream, "type": type, "actor": actor}
        rows, next_ = await _look(services, wanted, start, from_, to, limit)
        return Json({"items": [_shown(row) for row in rows], "next_cursor": pages.encode([next_]) if next_ else None})

    async def read_event(position: str, call: CallNow) -> Json:
        partition = partition_of(call.org, services.ledger.writer.partitions)
        wanted = {"org": call.org, "partition": partition, "position": _position("position", position)}
        row = await services.row(_ONE, wanted)
        if row is None:
            raise not_found("event", position)
        return Json(_shown(row))

    path = "/api/v1/events"
    return [
        ReadRoute(
            "GET",
            path,
            list_events,
            services,
            operation="list_events",
            summary="The organisation's events, oldest first",
            answers=page_of(EventRow),
            dependencies=[Depends(current)],
        ),
        ReadRoute(
            "GET",
            path + "/{position}",
            read_event,
            services,
            operation="read_event",
            summary="One event",
            answers=EventRow,
            dependencies=[Depends(current)],
        ),
    ]


async def _look(
    services: Services, wanted: dict[str, Any], start: int, from_: datetime | None, to: datetime | None, limit: int
) -> tuple[list[Row], int | None]:
    """A page of events after `start`, and the position to go on from; none at the end.

    A page may hold fewer events than asked for, or none, where the filter matches rarely.
    """
    partition = partition_of(wanted["org"], services.ledger.writer.partitions)
    first, last = await bounds(services, partition, from_, to)
    head = await services.rows_of_all(_HEAD, (partition,))
    end = min(last - 1, head[0]["position"])
    after = max(start, first - 1)
    found: list[Row] = []
    for _ in range(LOOKS):
        until = end if wanted["stream"] else min(after + WINDOW, end)
        query = _STREAM if wanted["stream"] else _LIST
        room = limit + 1 - len(found)
        parameters = {**wanted, "partition": partition, "after": after, "until": until, "limit": room}
        found += await services.rows(query, parameters)
        if len(found) > limit:
            return found[:limit], found[limit - 1]["position"]
        after = until
        if after >= end:
            return found, None
    return found, after


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
