"""Routes that cannot be reached around the guard: each knows its operation, and the operation its line in the policy.

Commands do not go through FastAPI's parsing, which would take `1.0` for 1 and the second of two equal keys; their
models are declared all the same, so that the OpenAPI document has them.
"""

from collections.abc import Awaitable, Callable
from inspect import Parameter, Signature
from typing import Any, NamedTuple

import msgspec
from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.types import ASGIApp, Receive, Scope, Send

from api.fields import Body
from api.guard import UNREACHABLE, admit, is_open, read_head
from api.limit import within_rate
from api.operation import Call, Operation
from api.pipeline import MAX_BODY, answer_of, execute, idempotency_key, prepare, read_body, receive_body
from api.problems import MEDIA_TYPE, Problem, unavailable
from api.schemas import PROBLEMS
from api.services import Services
from api.strict_json import MAX_DEPTH

JSON = b"application/json"


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
            _documented(operation.name, operation.path, operation.body),
            methods=[operation.method],
            name=operation.name,
            operation_id=operation.name,
            summary=operation.summary,
            status_code=operation.status,
            response_model=operation.answers,
            responses=PROBLEMS,
            openapi_extra=_PARAMETERS if operation.method == "POST" else _CONDITION,
        )
        self.app = _command_app(operation, services)


class ReadRoute(APIRoute):
    """Any other call, answered by a FastAPI handler after the guard has let it through."""

    def __init__(
        self,
        method: str,
        path: str,
        handler: Callable[..., Any],
        services: Services,
        *,
        operation: str,
        summary: str,
        answers: type[Any] | None = None,
        status: int = 200,
        **options: Any,
    ) -> None:
        super().__init__(
            path,
            handler,
            methods=[method],
            name=operation,
            operation_id=operation,
            summary=summary,
            status_code=status,
            response_model=answers,
            responses=PROBLEMS,
            **options,
        )
        self.app = _guarded(operation, services, self.app)


class OpenRoute(APIRoute):
    """A read that needs no login."""

    def __init__(
        self,
        path: str,
        handler: Callable[..., Any],
        *,
        operation: str,
        summary: str,
        answers: type[Any] | None = None,
    ) -> None:
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
    """A POST or PATCH that becomes no single command. The handler returns what to answer, and headers."""

    def __init__(
        self,
        path: str,
        handler: Callable[[Given], Awaitable[tuple[Any, dict[str, str] | None]]],
        services: Services,
        *,
        operation: str,
        summary: str,
        body: type[Body],
        answers: type[Any],
        status: int = 200,
        keyed: bool = True,
        method: str = "POST",
        max_bytes: int = MAX_BODY,
        max_depth: int = MAX_DEPTH,
    ) -> None:
        super().__init__(
            path,
            _documented(operation, path, body),
            methods=[method],
            name=operation,
            operation_id=operation,
            summary=summary,
            status_code=status,
            response_model=answers,
            responses=PROBLEMS,
            openapi_extra=_PARAMETERS if keyed else None,
        )
        adapter: TypeAdapter[Any] = TypeAdapter(body)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                head = read_head(scope)
                call = await admit(services, operation, scope, head)
                raw = await receive_body(receive, head, max_bytes)
                read = read_body(adapter, call, raw, max_depth)
                key = idempotency_key(head) if keyed else None
                given = Given(services, call, read.body, read.canonical, key, scope["path"])
                answer, headers = await handler(given)
            except Problem as problem:
                await send_problem(send, problem)
            except UNREACHABLE:
                await send_problem(send, unavailable())
            else:
                await send_bytes(send, status, msgspec.json.encode(answer), JSON, headers)

        self.app = app


async def call_of(request: Request) -> Call:
    """What the guard found out about the request. Not waiting, but FastAPI would run a plain function in a thread."""
    call: Call = request.scope["scrip.call"]
    return call


def _command_app(operation: Operation, services: Services) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            head = read_head(scope)
            call = await admit(services, operation.name, scope, head)
            raw = await receive_body(receive, head)
            read = read_body(operation.adapter, call, raw)
            key = idempotency_key(head) if operation.method == "POST" else None
            if operation.limited:
                await within_rate(services, call, key)
            item = await prepare(services, operation, call, read, key, scope["path"])
            outcome = await execute(services, item)
            status, answer = await answer_of(services, operation, call, read.body, outcome)
        except Problem as problem:
            await send_problem(send, problem)
            return
        headers = _REPLAYED if outcome.replayed else None
        media_type = JSON if status < 400 else MEDIA_TYPE
        await send_bytes(send, status, msgspec.json.encode(answer), media_type, headers)

    return app


def _guarded(operation: str, services: Services, inner: ASGIApp) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            head = read_head(scope)
            scope["scrip.call"] = await admit(services, operation, scope, head)
        except Problem as problem:
            await send_problem(send, problem)
            return
        try:
            await inner(scope, receive, send)
        except UNREACHABLE:
            await send_problem(send, unavailable())

    return app


def _documented(name: str, path: str, body: type[Body]) -> Callable[..., Any]:
    """A function with the signature that FastAPI documents: path parameters and body. It is never called."""

    async def endpoint(**_: Any) -> None:
        raise AssertionError(f"{name} does not go through FastAPI")

    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [Parameter(each, Parameter.KEYWORD_ONLY, annotation=str) for each in names]
    parameters.append(Parameter("body", Parameter.KEYWORD_ONLY, annotation=body))
    endpoint.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what FastAPI inspects
    endpoint.__doc__ = body.__doc__
    endpoint.__name__ = name
    return endpoint


_REPLAYED = {"Idempotency-Replayed": "true"}
_PARAMETERS: dict[str, Any] = {
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
_CONDITION: dict[str, Any] = {
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
