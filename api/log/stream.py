"""The log as it grows, for browsers: server-sent events, resumed by their ids; and tickets for them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import structlog
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from api.http.caller import Call, Head, admit, failed, read_head
from api.http.database import UNREACHABLE, Row
from api.http.endpoint import Endpoint, declare, endpoint
from api.http.fields import Body, Known, check_query, read_query
from api.http.policy import May, Rule, authorise, known
from api.http.problems import PROBLEMS, Problem, invalid, limit_reached
from api.http.services import Services
from api.log.tail import Entry, Listener
from domain.groups.state import MEMBERSHIPS
from domain.groups.state import PREFIX as GROUP
from infra.position import format_position, parse_position
from infra.security.principal import Principal, Role
from infra.security.stream_tickets import MAX_UNUSED, TTL_S, TooManyTickets
from infra.turns import CALLER

HEARTBEAT_S = 15.0
SEND_S = 30.0  # a caller who takes nothing for so long is gone
RETRY_MS = 2_000

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # a proxy that collects answers would hold them back
]


def heartbeat(id_: str) -> bytes:
    """A sign of life, with the position from which a caller resumes."""
    return f": alive\nid: {id_}\n\n".encode()


def block(data: bytes, *, event: str | None = None, id_: str | None = None) -> bytes:
    """One message; `data` is one line."""
    head = (f"id: {id_}\n" if id_ else "") + (f"event: {event}\n" if event else "")
    return head.encode() + b"data: " + data + b"\n\n"


async def send_blocks(receive: Receive, send: Send, blocks: AsyncIterator[bytes], closing: asyncio.Event) -> None:
    """Answer with `blocks`, and end when they end, the caller has gone or `closing` is set.

    Raises what `blocks` raises; then the answer has begun already.
    """
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    sending = asyncio.create_task(_all(send, blocks))
    gone = asyncio.create_task(_gone(receive))
    stopped = asyncio.create_task(closing.wait())
    try:
        await asyncio.wait({sending, gone, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, gone, stopped):
            task.cancel()
        ended = await asyncio.gather(sending, gone, stopped, return_exceptions=True)
    if isinstance(ended[0], Exception) and not isinstance(ended[0], TimeoutError):
        raise ended[0]
    if not isinstance(ended[0], TimeoutError):
        await send({"type": "http.response.body", "body": b""})


async def _all(send: Send, blocks: AsyncIterator[bytes]) -> None:
    async for each in blocks:
        async with asyncio.timeout(SEND_S):
            await send({"type": "http.response.body", "body": each, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


MAX_TICKET = 100
TICKET = "From `POST /api/v1/stream/tickets`, in place of the header Authorization."

Query = dict[str, str]
Blocks = Callable[[Call, Query, bytes | None], AsyncGenerator[bytes, None]]  # call, query, header Last-Event-ID

log = structlog.get_logger()


@dataclass(kw_only=True, eq=False)
class Stream(Endpoint):
    """A GET that goes on: its handler yields messages. What it raises before the first is answered as a problem.

    `parameters` are those of the query with what they mean, for the OpenAPI document.
    """

    parameters: dict[str, str]

    def _inspect(self) -> None:
        self._queried = []
        self.known = Known(frozenset(self.parameters) | {"ticket"})

    async def respond(self, services: Services, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem."""
        await send_stream(services, self.may, self.handler, self.known, scope, receive, send)

    def _responses(self) -> dict[int | str, dict[str, Any]]:
        return {**PROBLEMS, 200: {"description": self.summary, "content": {"text/event-stream": {}}}}

    def _extra(self) -> dict[str, Any]:
        return {"parameters": [_parameter(*each) for each in (self.parameters | {"ticket": TICKET}).items()]}


def stream(call: str, may: Rule, parameters: dict[str, str]) -> Callable[[Blocks], Stream]:
    """Declare a generator of messages as an endpoint. `call`: method and path."""
    return declare(Stream, call, may, parameters=parameters)


async def send_stream(
    services: Services, may: Rule, blocks: Blocks, parameters: Known, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer one request with the messages that `blocks` makes. Raises Problem and UNREACHABLE before the first."""
    head = read_head(scope)
    call, query = await admit_to_stream(services, may, scope, head, parameters)
    with services.live.room(call.principal):
        made = blocks(call, query, _last_event_id(scope))
        async with aclosing(made), aclosing(_from(await anext(made), made)) as all_:
            await send_blocks(receive, send, all_, services.live.closing)


async def admit_to_stream(
    services: Services, may: Rule, scope: Scope, head: Head, parameters: Known
) -> tuple[Call, Query]:
    """The call and its query, by `?ticket=` or by a login in a header, never by both. Raises Problem (400 to 422)."""
    pairs = read_query(scope["query_string"])
    query = dict(pairs)
    ticket = query.pop("ticket", None)
    if ticket is not None and head.authorization is not None:
        raise Problem(
            400, "two_logins", "A ticket replaces the header Authorization: send one of them.", field="ticket"
        )
    if ticket is None:
        return await admit(services, may, scope, head, parameters), query
    principal = await services.live.tickets.redeem(ticket) if len(ticket) <= MAX_TICKET else None
    if principal is None:
        failed(services, scope)
        raise Problem(401, "invalid_ticket", "The ticket is unknown, used or over: get another one.")
    CALLER.set((principal.org, principal.actor))
    known(scope, principal, principal.org)
    authorise(principal, may)
    bare = Head(authorization=None, organisation=head.organisation)
    if bare.organisation is not None and bare.organisation.decode("latin-1") != principal.org:
        raise Problem(403, "other_organisation", "The ticket is not for that organisation.")
    check_query(pairs, parameters)
    return Call(services, principal, principal.org, scope["path_params"]), query


async def _from(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes]:
    yield first
    try:
        async for each in rest:
            yield each
    except UNREACHABLE as error:  # the answer has begun: end it, and the caller comes back
        log.warning("a live stream ended", error=type(error).__name__)


def _parameter(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": {"type": "string"}}


def _last_event_id(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"last-event-id":
            return bytes(value)
    return None


LIFE_S = 600.0  # then the caller must connect again, with a login that is still valid
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
            yield _messages(entries, viewer, start, named=named)
        reached, spoke = max(start, listener.joined), monotonic()
        while not listener.lost and monotonic() < ends:
            entries = await listener.next(HEARTBEAT_S)
            messages = _messages(entries, viewer, reached, named=named)
            reached = max(reached, entries[-1].position if entries else 0)
            if messages or monotonic() - spoke >= HEARTBEAT_S:
                spoke = monotonic()
                yield messages or heartbeat(format_position(reached))
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


def _messages(entries: list[Entry], viewer: Viewer, after: int, *, named: bool) -> bytes:
    """The messages for what the viewer may see of what came after a position."""
    messages = []
    for entry in entries:
        data = viewer.data(entry) if entry.position > after else None
        if data is not None:
            messages.append(block(data, event=entry.type if named else None, id_=format_position(entry.position)))
    return b"".join(messages)
