"""Routes that answer with server-sent events: let in by a login, or by a ticket that a browser got for one."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send

from api.audit_log import known
from api.database import UNREACHABLE
from api.http.caller import Call, Head, admit, failed, read_head
from api.http.endpoint import Endpoint, declared
from api.http.policy import Rule, authorise
from api.http.query import Known, check_query, read_query
from api.live.sending import send_blocks
from api.problems import Problem
from api.schemas import PROBLEMS
from api.services import Services
from infra.turns import CALLER

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

    def declare(handler: Blocks) -> Stream:
        return Stream(**declared(call, may, None, handler), parameters=parameters)

    return declare


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
