"""Events of the log, states of streams at any time, and usage events that could not be applied."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import structlog
from fastapi import Query
from pydantic import BaseModel

from api.http.caller import Call
from api.http.database import Row
from api.http.endpoint import endpoint, shaped
from api.http.fields import QueryDay
from api.http.lists import Page, bounds, moments, page_of
from api.http.policy import May
from api.http.problems import Problem, invalid, not_found, unknown_outcome
from domain.credits.account import Promised
from domain.kernel.order import Order
from domain.periods import NEVER
from domain.registry import SCRIP
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.log.recorder import OrganisationLog
from infra.log.snapshots import decode_state
from infra.position import format_position, parse_position


class EventRow(BaseModel):
    """An event as it is stored; personal text stays sealed."""

    position: str
    stream: str
    version: int
    type: str
    tag: str | None = None
    actor: str
    cause: str
    time: datetime
    data: dict[str, Any]
    hash: str


class QuarantineRow(BaseModel):
    """A usage event that could not be applied, with the reason."""

    id: str
    source: str
    event_id: str
    reason: str
    detail: str
    attempts: int
    at: datetime
    tried_at: datetime
    resolved_at: datetime | None = None


MOST_SHOWN = 100  # entries of each collection
MOST_FOLDED = 200_000  # events that one answer may take, a second's work or so
CHUNK = 2_000
CHUNK_BYTES = 4_000_000  # of stored bytes, the event that passes it included: an event may have a megabyte

_codec = LedgerMapper.of(SCRIP)
_EVENTS = f"""
    select version, position, type, data from (
        select n.*, sum(length(data)) over (order by version) - length(data) as before from (
            select version, position, type, data from events
            where org = %(org)s and stream = %(stream)s and version > %(after)s and version <= %(until)s
            order by version limit %(limit)s
        ) n
    ) e where before < {CHUNK_BYTES} order by version"""


class StreamStates(BaseModel):
    """A stream's folded state before and after one event; `counts`: how many entries each collection really has."""

    position: str
    stream: str
    stream_version: int
    before: dict[str, Any]
    after: dict[str, Any]
    counts: dict[str, dict[str, int]]


async def state_around(call: Call, stream: str, version: int) -> tuple[Any, Any]:
    """The stream's state before and after its event `version` (from 1).

    Raises Problem (422) where too many events would have to be folded, psycopg.Error.
    """
    reached, state = await nearest(call, stream, version)
    state, _ = await folded(call, stream, state, reached, version - 1)
    last = await _events(call, stream, version - 1, version)
    return state, _fold(stream, state, last)


async def folded(call: Call, stream: str, state: Any, after: int, until: int) -> tuple[Any, int | None]:
    """`state`, that of the version `after`, with all events up to `until`, and the position of the last of these.

    No position where there is none. Raises psycopg.Error.
    """
    position = None
    while after < until:
        rows = await _events(call, stream, after, until)
        if not rows:
            break
        state = await call.services.threads.run(_fold, stream, state, rows)
        after, position = rows[-1]["version"], rows[-1]["position"]
    return state, position


async def nearest(call: Call, stream: str, version: int) -> tuple[int, Any]:
    """The version from which to fold the state up to `version`, and its state: a snapshot's, else 0 and the empty one.

    Raises Problem (422) where that is too far away.
    """
    kind = SCRIP.kind_of(stream)
    reached, state = 0, kind.initial
    # The writer's alone, as they hold what a whole organisation's accounts hold.
    kept = call.services.database.snapshots
    for snapshot in await call.services.threads.run(kept.select_events, f"{call.org}/{stream}", lte=version - 1):
        if snapshot.topic == str(kind.schema):
            with suppress(msgspec.DecodeError):  # a cache, no more: the log itself is folded instead
                reached, state = snapshot.version, decode_state(kind, snapshot.data)
                break
    if version - reached > MOST_FOLDED:
        detail = f"The state would have to be folded from more than {MOST_FOLDED:,} events."
        raise Problem(422, "too_many_events", detail, limit=MOST_FOLDED)
    return reached, state


async def _events(call: Call, stream: str, after: int, until: int) -> list[Row]:
    return await call.rows(_EVENTS, stream=stream, after=after, until=until, limit=CHUNK)


def _fold(stream: str, state: Any, rows: Sequence[Row]) -> Any:
    evolve = SCRIP.kind_of(stream).evolve
    for row in rows:
        state = evolve(state, _codec.decode(row["type"], bytes(row["data"])))
    return state


def shown(state: Any, other: Any) -> dict[str, Any]:
    """A state as JSON, with at most MOST_SHOWN entries of each collection: those first that differ from `other`'s.

    Sealed texts are left out; what never comes is null.
    """
    answer: dict[str, Any] = {
        name: _plain(value, getattr(other, name, None)) for name, value in state._asdict().items()
    }
    return answer


def counts(state: Any) -> dict[str, int]:
    """How many entries each collection of a state has."""
    return {name: len(value) for name, value in state._asdict().items() if isinstance(value, _COLLECTIONS)}


_COLLECTIONS = (Mapping, Order, tuple, frozenset)


def _plain(value: Any, other: Any = None) -> Any:
    if isinstance(value, Promised):  # a list to all who look at it, as in a snapshot
        value = value.plain()
    if isinstance(value, Mapping):
        known = other if isinstance(other, Mapping) else {}
        keys = sorted(value, key=lambda key: (known.get(key) == value[key], key))[:MOST_SHOWN]
        return {str(key): _plain(value[key]) for key in keys}
    if hasattr(value, "_asdict"):
        return {name: _plain(part, getattr(other, name, None)) for name, part in value._asdict().items()}
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.name != "sealed"}
    if isinstance(value, frozenset):
        return sorted(value)[:MOST_SHOWN]
    if isinstance(value, Order | tuple | list):
        return [_plain(part) for part in value[:MOST_SHOWN]]
    return None if value == NEVER else value


MOST_LOOKED = 200_000  # positions that one page goes through, so that a rare filter never becomes a long read
MAX_BYTES = 4_000_000  # of stored bytes in a page, the event that passes it included: an event may have a megabyte

# Names of streams, types and actors have no spaces, so one that has is a `+` that was not escaped.
Filter = Annotated[str | None, Query(max_length=1_000, pattern=r"^[!-~]*$")]


@endpoint("GET /api/v1/events", May.READ_EVENTS, page_of(EventRow))
async def list_events(
    call: Call,
    page: Page,
    stream: Filter = None,
    type: Filter = None,
    actor: Filter = None,
    from_: Annotated[QueryDay | None, Query(alias="from")] = None,
    to: QueryDay | None = None,
    after: Annotated[str | None, Query(description="A position: what comes later.")] = None,
    order: Annotated[Literal["asc", "desc"], Query(description="`desc`: newest first.")] = "asc",
) -> dict[str, Any]:
    """The organisation's events, oldest or newest first."""
    from_, to = await moments(call, from_, to)
    pages = page.cursors(call, "events", stream or "", type or "", actor or "", order)
    (edge,) = pages.given(int) or (None,)
    start = _position("after", after) if after else 0
    first, last = await bounds(call, from_, to)
    wanted = {"stream": stream, "topics": [type] if type else [], "actor": actor}
    if order == "desc":
        first, last = max(start + 1, first), min(last, edge or last) - 1
    else:
        first, last = max(start + 1, first, (edge or 0) + 1), last - 1
    found, next_ = await call.services.read_log(
        lambda log: _page(log.organisation(call.org), first, last, page.limit, order == "desc", wanted)
    )
    items = [_shown(event) for event in found]
    return {"items": items, "next_cursor": pages.encode([next_]) if next_ else None}


@endpoint("GET /api/v1/events/{position}", May.READ_EVENTS, EventRow)
async def read_event(call: Call, position: str) -> dict[str, Any]:
    """One event."""
    return _shown(await _one(call, position))


@endpoint("GET /api/v1/events/{position}/state", May.READ_EVENTS, StreamStates)
async def read_stream_state(call: Call, position: str) -> dict[str, Any]:
    """The state of an event's stream before and after it."""
    event = await _one(call, position)
    async with call.services.folds.enter(call.org, call.principal.actor):
        before, after = await state_around(call, event.stream, event.version)
    return {
        "position": position,
        "stream": event.stream,
        "stream_version": event.version,
        "before": shown(before, after),
        "after": shown(after, before),
        "counts": {"before": counts(before), "after": counts(after)},
    }


async def _one(call: Call, position: str) -> LedgerEvent:
    at = _position("position", position)
    for event in await call.services.read_log(lambda log: log.organisation(call.org).select_notifications(at, 1, at)):
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
    position, hash_ = format_position(event.position), event.hash.hex()
    return shaped(EventRow, event, position=position, hash=hash_, data=stored["data"], cause=stored["cause"])


_LIST = """
    select id, source, event_id, reason, detail, attempts, at, tried_at, resolved_at from quarantine
    where org = %(org)s and (%(all)s or resolved_at is null)
      and (%(at)s::timestamptz is null or (at, id) > (%(at)s, %(id)s))
    order by at, id limit %(limit)s"""

log = structlog.get_logger()


@endpoint("GET /api/v1/quarantine", May.READ_QUARANTINE, page_of(QuarantineRow))
async def list_quarantine(call: Call, page: Page, status: Literal["open", "all"] = "open") -> dict[str, Any]:
    """Usage events that could not be applied, oldest first."""
    pages = page.cursors(call, "quarantine", status)
    at, id_ = pages.given(datetime, str) or (None, "")
    rows = await call.rows(_LIST, all=status == "all", at=at, id=id_, limit=pages.more)
    return pages.page(rows, ["at", "id"])


@endpoint("POST /api/v1/quarantine/{id}/retry", May.RETRY_QUARANTINED)
async def retry_quarantined(call: Call, id: str) -> dict[str, Any]:
    """Try a usage event again."""
    if call.services.retry is None:
        raise Problem(503, "not_offered", "This process cannot retry usage events.")
    try:
        result: dict[str, Any] = await call.services.retry(call.org, id)
    except TimeoutError:
        raise unknown_outcome() from None
    log.info("usage event retried", actor=call.principal.actor, org=call.org, id=id)
    return result
