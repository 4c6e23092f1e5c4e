"""Routes that answer with server-sent events: let in by a login, or by a ticket that a browser got for one."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import structlog
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api.audit_log import known
from api.database import UNREACHABLE
from api.guard import Head, admit, read_head
from api.guesses import failed
from api.live.sending import send_blocks
from api.operation import Call
from api.policy import authorise
from api.problems import Problem, away
from api.query import Known, check_query, read_query
from api.routing import send_problem
from api.schemas import PROBLEMS
from api.services import Services
from infra.turns import CALLER

MAX_TICKET = 100
TICKET = "From `POST /api/v1/stream/tickets`, in place of the header Authorization."

Query = dict[str, str]
Blocks = Callable[[Call, Query, bytes | None], AsyncGenerator[bytes, None]]  # call, query, header Last-Event-ID

log = structlog.get_logger()


class StreamRoute(APIRoute):
    """A GET that goes on. What `blocks` raises before its first block is answered as a problem.

    `parameters` are those of the query with what they mean, for the OpenAPI document.
    """

    def __init__(
        self,
        path: str,
        blocks: Blocks,
        services: Services,
        *,
        operation: str,
        summary: str,
        parameters: dict[str, str],
    ) -> None:
        super().__init__(
            path,
            _documented,
            methods=["GET"],
            name=operation,
            operation_id=operation,
            summary=summary,
            response_model=None,
            responses={**PROBLEMS, 200: {"description": summary, "content": {"text/event-stream": {}}}},
            openapi_extra={"parameters": [_parameter(*each) for each in (parameters | {"ticket": TICKET}).items()]},
        )

        known_names = Known(frozenset(parameters) | {"ticket"})

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await serve_stream(services, operation, blocks, known_names, scope, receive, send)

        self.app = app


async def serve_stream(
    services: Services,
    operation: str,
    blocks: Blocks,
    parameters: Known,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Answer one request for `operation` with the messages that `blocks` makes; `parameters` are those of its query."""
    try:
        head = read_head(scope)
        call, query = await admit_to_stream(services, operation, scope, head, parameters)
        with services.live.room(call.principal):
            made = blocks(call, query, _last_event_id(scope))
            async with aclosing(made), aclosing(_from(await anext(made), made)) as all_:
                await send_blocks(receive, send, all_, services.live.closing)
    except Problem as problem:
        await send_problem(send, problem)
    except UNREACHABLE as error:
        await send_problem(send, away(error))


async def admit_to_stream(
    services: Services, operation: str, scope: Scope, head: Head, parameters: Known
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
        return await admit(services, operation, scope, head, parameters), query
    principal = await services.live.tickets.redeem(ticket) if len(ticket) <= MAX_TICKET else None
    if principal is None:
        failed(services, scope)
        raise Problem(401, "invalid_ticket", "The ticket is unknown, used or over: get another one.")
    CALLER.set((principal.org, principal.actor))
    known(scope, principal, principal.org)
    authorise(principal, operation)
    bare = Head(authorization=None, organisation=head.organisation)
    if bare.organisation is not None and bare.organisation.decode("latin-1") != principal.org:
        raise Problem(403, "other_organisation", "The ticket is not for that organisation.")
    check_query(pairs, parameters)
    return Call(principal, principal.org, scope["path_params"], None, services.defaults), query


async def _from(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes]:
    yield first
    try:
        async for each in rest:
            yield each
    except UNREACHABLE as error:  # the answer has begun: end it, and the caller comes back
        log.warning("a live stream ended", error=type(error).__name__)


async def _documented() -> None:
    raise AssertionError("it does not go through FastAPI")


def _parameter(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": {"type": "string"}}


def _last_event_id(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"last-event-id":
            return bytes(value)
    return None
