"""Routes that cannot be reached around the guard: each knows its operation, and the operation its line in the policy.

Commands do not go through FastAPI's parsing, which would take `1.0` for 1 and the second of two equal keys; their
models are declared all the same, so that the OpenAPI document has them.
"""

from collections.abc import Awaitable, Callable
from inspect import Parameter, Signature, cleandoc, signature
from typing import Any, NamedTuple

import msgspec
from fastapi import Request, params
from fastapi.params import Depends
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from starlette.types import ASGIApp, Receive, Scope, Send

from api.database import UNREACHABLE
from api.fields import MAX_BODY, Body
from api.guard import admit, is_open, log_failed_read, read_head
from api.large_bodies import around
from api.limit import within_rate
from api.operation import Call, Operation
from api.pipeline import (
    answer_of,
    count,
    execute,
    idempotency_key,
    prepare,
    read_body,
    receive_body,
    require_room,
    says_none,
)
from api.problems import MEDIA_TYPE, RETRY_AFTER_S, Problem, away
from api.query import NOTHING, Known, known_of
from api.reading import current
from api.schemas import PROBLEMS
from api.services import Services
from api.strict_json import MAX_DEPTH

JSON = b"application/json"
MAY_WAIT = Known(frozenset({"min_position"}))  # a question that is asked by POST is a read: current without it

IDEMPOTENCY_KEY: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same key and request get the first answer again, refusals included.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
    ]
}
IF_MATCH: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "The ETag of an earlier answer; 412 where the thing has changed since.",
            "schema": {"type": "string"},
        }
    ]
}


async def send_bytes(
    send: Send, status: int, body: bytes, media_type: bytes = JSON, headers: dict[str, str] | None = None
) -> None:
    """Send a whole answer."""
    told = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
    if headers:
        told += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, problem: Problem) -> None:
    """Send a problem."""
    await send_bytes(send, problem.status, problem.encoded(), MEDIA_TYPE, problem.headers)


class CommandRoute(APIRoute):
    """A call that becomes one command."""

    def __init__(self, operation: Operation, services: Services) -> None:
        super().__init__(
            operation.path,
            documented(operation.name, operation.path, operation.body, operation.max_bytes),
            methods=[operation.method],
            name=operation.name,
            operation_id=operation.name,
            summary=operation.summary,
            status_code=operation.status,
            response_model=operation.answers,
            responses=PROBLEMS,
            openapi_extra=IDEMPOTENCY_KEY if operation.method == "POST" else IF_MATCH,
        )
        self.app = _command_app(operation, services)


class ReadRoute(APIRoute):
    """Any other call, answered by a FastAPI handler after the guard has let it through.

    `operation` is its line in the policy, by default the handler's name.
    Where a request has no query, FastAPI has nothing to read: `short`, if there is one, calls the handler without it.
    """

    def __init__(
        self,
        path: str,
        handler: Callable[..., Any],
        services: Services,
        summary: str,
        answers: type[Any] | None = None,
        *,
        operation: str = "",
        method: str = "GET",
        status: int = 200,
        description: str | None = None,
    ) -> None:
        operation = operation or handler.__name__
        # Any read takes a position (contract, "Position"), also those that have nothing to wait for.
        waits = method != "GET" or "min_position" in signature(handler).parameters
        super().__init__(
            path,
            handler,
            methods=[method],
            name=operation,
            operation_id=operation,
            summary=summary,
            description=description,
            status_code=status,
            response_model=answers,
            responses=PROBLEMS,
            dependencies=None if waits else [Depends(current)],
        )
        parameters = known_of(self.dependant)
        self.app = _guarded(operation, services, self.app, parameters)
        without_query = _without_query(handler)
        self.short: ASGIApp | None = _guarded(operation, services, without_query) if without_query else None


class OpenRoute(APIRoute):
    """A read that needs no login."""

    def __init__(self, path: str, handler: Callable[..., Any], summary: str, answers: type[Any] | None = None) -> None:
        operation = handler.__name__
        super().__init__(
            path,
            handler,
            methods=["GET"],
            name=operation,
            operation_id=operation,
            summary=summary,
            response_model=answers,
            openapi_extra={"security": []},
        )
        if not is_open(operation):
            raise AssertionError(f"{operation} needs a login by the policy")


class Given(NamedTuple):
    """What a handler of a `BodyRoute` gets."""

    services: Services
    call: Call
    body: Any
    canonical: bytes
    key: str | None
    path: str


class BodyRoute(APIRoute):
    """A POST or PATCH that becomes no single command. The handler returns what to answer, and headers.

    `operation` is its line in the policy, by default the handler's name.
    """

    def __init__(
        self,
        path: str,
        handler: Callable[[Given], Awaitable[tuple[Any, dict[str, str] | None]]],
        services: Services,
        summary: str,
        body: type[Body],
        answers: type[Any],
        *,
        operation: str = "",
        status: int = 200,
        keyed: bool = True,
        method: str = "POST",
        max_bytes: int = MAX_BODY,
        max_depth: int = MAX_DEPTH,
    ) -> None:
        operation = operation or handler.__name__.removeprefix("_")
        super().__init__(
            path,
            documented(operation, path, body, max_bytes),
            methods=[method],
            name=operation,
            operation_id=operation,
            summary=summary,
            status_code=status,
            response_model=answers,
            responses=PROBLEMS,
            openapi_extra=IDEMPOTENCY_KEY if keyed else None,
        )
        adapter: TypeAdapter[Any] = TypeAdapter(body)
        parameters = NOTHING if keyed else MAY_WAIT

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                head = read_head(scope)
                call = await admit(services, operation, scope, head, parameters)
                room = services.large_bodies.room(scope, call.org, call.principal.actor)
                raw = await receive_body(receive, head, max_bytes, room)
                read = read_body(adapter, call, raw, max_depth)
                key = idempotency_key(head) if keyed else None
                given = Given(services, call, read.body, read.canonical, key, scope["path"])
                answer, headers = await handler(given)
            except Problem as problem:
                await send_problem(send, problem)
            except UNREACHABLE as error:
                await send_problem(send, away(error))
            else:
                await send_bytes(send, status, msgspec.json.encode(answer), JSON, headers)

        self.app = around(services.large_bodies, app, max_bytes)


async def call_of(request: Request) -> Call:
    """What the guard found out about the request. Not waiting, but FastAPI would run a plain function in a thread."""
    call: Call = request.scope["scrip.call"]
    return call


def _command_app(operation: Operation, services: Services) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            head = read_head(scope)
            call = await admit(services, operation.name, scope, head)
            room = services.large_bodies.room(scope, call.org, call.principal.actor)
            if room is not None:  # a large body is not read and kept for who must wait
                services.free_writes.check(call.principal, call.org)
            raw = await receive_body(receive, head, operation.max_bytes, room)
            read = read_body(operation.adapter, call, raw, none_said=not operation.sized or says_none(head))
            key = idempotency_key(head) if operation.method == "POST" else None
            require_room(services)
            services.free_writes.check(call.principal, call.org)  # others of the caller may have come meanwhile
            if operation.limited(read.body):
                await within_rate(services, call, key)
            item = await prepare(services, operation, call, read, key, scope["path"])
            outcome = await execute(services, item)
            count(services, operation, call, read.body, outcome)
            status, answer = await answer_of(services, operation, call, read.body, outcome)
        except Problem as problem:
            await send_problem(send, problem)
            return
        headers = _REPLAYED if outcome.replayed else _LATER if status == 429 else None
        await send_bytes(send, status, msgspec.json.encode(answer), JSON if status < 400 else MEDIA_TYPE, headers)

    return around(services.large_bodies, app, operation.max_bytes)


def _guarded(operation: str, services: Services, inner: ASGIApp, parameters: Known = NOTHING) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            head = read_head(scope)
            scope["scrip.call"] = await admit(services, operation, scope, head, parameters)
            if scope["method"] != "GET":
                await receive_body(receive, head)  # there is nothing in it for us, but what is cut is not done
            await inner(scope, receive, send)
        except Problem as problem:
            await send_problem(send, problem)
        except UNREACHABLE as error:
            log_failed_read(scope["path"], error)
            await send_problem(send, away(error))

    return app


def _without_query(handler: Callable[..., Any]) -> ASGIApp | None:
    """`handler` with its defaults, for requests that have no query.

    None where a parameter is neither the call, nor of the path, nor of the query with a default.
    """
    wanted = signature(handler).parameters.values()
    call_names = [each.name for each in wanted if _is_call(each)]
    defaults = {each.name: each.default for each in wanted if each.default is not Parameter.empty}
    of_path = {each.name for each in wanted if each.annotation is str and each.default is Parameter.empty}
    if len(call_names) + len(defaults) + len(of_path) < len(wanted) or any(map(_is_of_head_or_body, wanted)):
        return None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        call = dict.fromkeys(call_names, scope["scrip.call"])
        response = await handler(**call, **scope["path_params"], **defaults)
        await response(scope, receive, send)

    return app


def _is_call(parameter: Parameter) -> bool:
    marks = getattr(parameter.annotation, "__metadata__", ())
    return any(isinstance(mark, Depends) and mark.dependency is call_of for mark in marks)


def _is_of_head_or_body(parameter: Parameter) -> bool:
    marks = getattr(parameter.annotation, "__metadata__", ())
    return isinstance(parameter.default, FieldInfo) or any(
        isinstance(mark, FieldInfo) and not isinstance(mark, params.Query) for mark in marks
    )


_REPLAYED = {"Idempotency-Replayed": "true"}
_LATER = {"Retry-After": str(RETRY_AFTER_S)}


def documented(name: str, path: str, body: type[Body], max_bytes: int = MAX_BODY) -> Callable[..., Any]:
    """A function with the signature that FastAPI documents: path parameters and body. It is never called.

    Its text is the body's, with `max_bytes` where that is not the usual limit.
    """

    async def endpoint(**_: Any) -> None:
        raise AssertionError(f"{name} does not go through FastAPI")

    names = [part[1:-1].partition(":")[0] for part in path.split("/") if part.startswith("{")]
    parameters = [Parameter(each, Parameter.KEYWORD_ONLY, annotation=str) for each in names]
    parameters.append(Parameter("body", Parameter.KEYWORD_ONLY, annotation=body))
    endpoint.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what FastAPI inspects
    limit = f"\n\nThe body has at most {max_bytes:,} bytes." if max_bytes != MAX_BODY else ""
    endpoint.__doc__ = cleandoc(body.__doc__ or "") + limit
    endpoint.__name__ = name
    return endpoint
