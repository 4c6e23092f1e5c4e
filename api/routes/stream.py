"""The log as it grows, for browsers and displays: server-sent events, resumed by their ids; and tickets for them."""

from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from time import monotonic
from typing import Any, NamedTuple

import msgspec
from pydantic import BaseModel

from api.database import Row
from api.fields import Body
from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import May
from api.live.entry import Entry
from api.live.route import Query, stream
from api.live.sending import HEARTBEAT_S, RETRY_MS, block, heartbeat
from api.live.tail import Listener
from api.problems import invalid, limit_reached
from api.services import Services
from domain.groups.state import MEMBERSHIPS
from domain.groups.state import PREFIX as GROUP
from infra.position import format_position, parse_position
from infra.security.principal import Principal, Role
from infra.security.stream_tickets import MAX_UNUSED, TTL_S, TooManyTickets

LIFE_S = 600.0  # then the caller comes back and is let in anew: a login that has ended sees no more than this
MAX_TYPES = 50

PARAMETERS = {
    "types": "Event types, with or without their version, with commas between them.",
    "stream": "One stream; or the start of many, ending in `/`.",
    "last_event_id": "Resume after the message with this id, as the header Last-Event-ID does.",
    "named": "`false`: messages have no event name, so that a browser's `onmessage` gets them all.",
}
_JOINED, _LEFT = "group-joined.v1", "group-left.v1"
_MEMBERSHIPS = """
    select type, data from events where org = %(org)s and stream = %(stream)s and position <= %(position)s
    order by version"""


class Wanted(NamedTuple):
    """`types`: names of event types, with or without their version; `stream`: one, or the start of many, ending in `/`.

    Empty for all.
    """

    types: frozenset[str] = frozenset()
    stream: str = ""

    def includes(self, entry: Entry) -> bool:
        """Whether the listener asked for the event."""
        if self.types and not {entry.type, entry.type.rpartition(".")[0]} & self.types:
            return False
        return self.stream in ("", entry.stream) or (self.stream.endswith("/") and entry.stream.startswith(self.stream))


class Viewer:
    """Decides event by event, in the log's order: a user's groups change on the way. `groups`: those at the start."""

    def __init__(self, principal: Principal, wanted: Wanted, groups: Iterable[str] = ()) -> None:
        self._user = principal.sub if principal.role is Role.USER else None
        self._wanted = wanted
        self._groups = set(groups)

    def data(self, entry: Entry) -> bytes | None:
        """What to send of the event; none where it is not for this listener."""
        if self._user is None:
            return entry.whole if self._wanted.includes(entry) else None
        if entry.stream == MEMBERSHIPS + self._user:
            _move(self._groups, entry.type, entry.group)
        own = entry.group in self._groups if entry.stream.startswith(GROUP) else entry.user == self._user
        return entry.own if own and self._wanted.includes(entry) else None


async def groups_at(services: Services, principal: Principal, position: int) -> set[str]:
    """The groups that a user was in when the log stood at `position`; none for other roles. Raises psycopg.Error."""
    found: set[str] = set()
    if principal.role is Role.USER:
        stream = MEMBERSHIPS + principal.sub
        asked = {"org": principal.org, "stream": stream, "position": position}
        for row in await services.rows(_MEMBERSHIPS, asked):
            _move(found, row["type"], _group_in(row))
    return found


def _group_in(row: Row) -> str:
    group: str = msgspec.json.decode(row["data"])["data"]["group_id"]
    return group


def _move(groups: set[str], type_: str, group: str | None) -> None:
    if group is not None and type_ == _JOINED:
        groups.add(group)
    elif group is not None and type_ == _LEFT:
        groups.discard(group)


class TicketBody(Body):
    """Nothing to say: the ticket is for the caller and the organisation of the request."""


class TicketAnswer(BaseModel):
    """`ticket` opens one live stream once (`?ticket=`) until `expires_at`."""

    ticket: str
    expires_at: datetime


@stream("GET /api/v1/stream", May.FOLLOW_EVENTS, PARAMETERS)
async def follow_events(call: Call, query: Query, last_event_id: bytes | None) -> AsyncGenerator[bytes, None]:
    """The organisation's events as they happen; a user's own, for a user."""
    services = call.services
    wanted, after, named = _asked(query, last_event_id)
    ends = monotonic() + LIFE_S
    tail = services.live.tail
    listener = await tail.join(call.org)
    try:
        start = await _start(services, listener, after)
        viewer = Viewer(call.principal, wanted, await groups_at(services, call.principal, start))
        # An id without data: who is cut off before the first event resumes from here.
        yield f"retry: {RETRY_MS}\nid: {format_position(start)}\n\n".encode()
        async for entries in tail.between(listener, start):
            yield _told(entries, viewer, start, named=named)
        reached, spoke = max(start, listener.joined), monotonic()
        while not listener.lost and monotonic() < ends:
            entries = await listener.next(HEARTBEAT_S)
            told = _told(entries, viewer, reached, named=named)
            reached = max(reached, entries[-1].position if entries else 0)
            if told or monotonic() - spoke >= HEARTBEAT_S:
                spoke = monotonic()
                yield told or heartbeat(format_position(reached))
    finally:
        tail.leave(listener)


@endpoint("POST /api/v1/stream/tickets", May.FOLLOW_EVENTS, TicketAnswer, status=201, keyed=False)
async def issue_stream_ticket(call: Call, _body: TicketBody) -> dict[str, Any]:
    """A ticket for one live stream, for browsers that cannot send a login with it."""
    try:
        ticket, expires_at = await call.services.live.tickets.issue(call.principal, call.org)
    except TooManyTickets:
        detail = f"One login may have {MAX_UNUSED} tickets that are not used yet; each ends by itself after {TTL_S} s."
        raise limit_reached("too_many_tickets", detail, MAX_UNUSED, TTL_S) from None
    return {"ticket": ticket, "expires_at": expires_at}


def _asked(query: Query, header: bytes | None) -> tuple[Wanted, int | None, bool]:
    """What is wanted, after which position, and whether messages are named. Raises Problem (422)."""
    types = frozenset(filter(None, query.get("types", "").split(",")))
    if len(types) > MAX_TYPES:
        raise invalid("types", f"must not be more than {MAX_TYPES}", limit=MAX_TYPES)
    named = query.get("named", "true")
    if named not in {"true", "false"}:
        raise invalid("named", "must be true or false")
    last = header.decode("latin-1") if header else query.get("last_event_id")
    try:
        after = parse_position(last) if last else None
    except ValueError:
        raise invalid("last_event_id", "must be the id of an earlier message") from None
    return Wanted(types, query.get("stream", "")), after, named == "true"


async def _start(services: Services, listener: Listener, after: int | None) -> int:
    """The position to go on from. One that the log does not have, because it was restored, is its end."""
    if after is None:
        return listener.joined
    if after <= listener.joined:
        return after
    return min(after, await services.live.tail.head(listener.partition))


def _told(entries: list[Entry], viewer: Viewer, after: int, *, named: bool) -> bytes:
    """The messages for what the viewer may see of what came after a position."""
    told = []
    for entry in entries:
        data = viewer.data(entry) if entry.position > after else None
        if data is not None:
            told.append(block(data, event=entry.type if named else None, id_=format_position(entry.position)))
    return b"".join(told)
