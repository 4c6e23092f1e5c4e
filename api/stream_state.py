"""The state of a stream before and after one of its events: the log folded up to there."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec
from pydantic import BaseModel

from api.database import Row
from api.problems import Problem
from api.services import Services
from domain.credits.account import Promised
from domain.kernel.order import Order
from domain.periods import NEVER
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.snapshots import decode_state

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


async def state_around(services: Services, org: str, stream: str, version: int) -> tuple[Any, Any]:
    """The stream's state before and after its event `version` (from 1).

    Raises Problem (422) where too many events would have to be folded, psycopg.Error.
    """
    reached, state = await nearest(services, org, stream, version)
    if version - reached > MOST_FOLDED:
        raise too_many_events()
    state, _ = await folded(services, org, stream, state, reached, version - 1)
    last = await _events(services, org, stream, version - 1, version)
    return state, _fold(stream, state, last)


def too_many_events() -> Problem:
    """More than anybody may have folded for one answer."""
    detail = f"The state would have to be folded from more than {MOST_FOLDED:,} events."
    return Problem(422, "too_many_events", detail, limit=MOST_FOLDED)


async def folded(
    services: Services, org: str, stream: str, state: Any, after: int, until: int
) -> tuple[Any, int | None]:
    """`state`, that of the version `after`, with all events up to `until`, and the position of the last of these.

    No position where there is none. Raises psycopg.Error.
    """
    position = None
    while after < until:
        rows = await _events(services, org, stream, after, until)
        if not rows:
            break
        state = await services.threads.run(_fold, stream, state, rows)
        after, position = rows[-1]["version"], rows[-1]["position"]
    return state, position


async def nearest(services: Services, org: str, stream: str, version: int) -> tuple[int, Any]:
    """The snapshot before the event and its version; the empty state and 0 where there is none that serves."""
    kind = SCRIP.kind_of(stream)
    # The writer's alone, as they hold what a whole organisation's accounts hold.
    kept = services.database.snapshots
    for snapshot in await services.threads.run(kept.select_events, f"{org}/{stream}", lte=version - 1):
        if snapshot.topic == str(kind.schema):
            with suppress(msgspec.DecodeError):  # a cache, no more: the log itself is folded instead
                return snapshot.version, decode_state(kind, snapshot.data)
    return 0, kind.initial


async def _events(services: Services, org: str, stream: str, after: int, until: int) -> list[Row]:
    asked = {"org": org, "stream": stream, "after": after, "until": until, "limit": CHUNK}
    return await services.rows(_EVENTS, asked)


def _fold(stream: str, state: Any, rows: Sequence[Row]) -> Any:
    evolve = SCRIP.kind_of(stream).evolve
    for row in rows:
        state = evolve(state, _codec.decode(row["type"], bytes(row["data"])))
    return state


def shown(state: Any, other: Any) -> dict[str, Any]:
    """A state as JSON, with at most MOST_SHOWN entries of each collection: those first that differ from `other`'s.

    Sealed texts are left out; what never comes is null.
    """
    told: dict[str, Any] = {name: _plain(value, getattr(other, name, None)) for name, value in state._asdict().items()}
    return told


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
