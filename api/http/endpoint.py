"""An endpoint, declared once: method and path, who may, what it takes and answers, and its handler.

Routing, the reading of query and body, the role table and the OpenAPI document follow from the declaration. FastAPI
describes endpoints and does not run them: its layers around a read with three parameters take 0.12 ms of the processor
where these take 0.01 ms, and its reading of bodies takes `1.0` for 1 and the second of two equal keys.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from inspect import Parameter, Signature, cleandoc, signature
from itertools import chain
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import structlog
from fastapi import Query, Request
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError
from starlette.convertors import PathConvertor
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.caller import ORGANISATION_NAMES, Call, Head, admit, other_organisation, read_head
from api.http.database import UNREACHABLE
from api.http.fields import MAX_BODY, PLUS, Known, strict_json
from api.http.limits import ROOM, Room
from api.http.policy import Rule
from api.http.problems import MEDIA_TYPE, PROBLEMS, Problem, away
from api.http.services import Services
from infra.position import parse_position
from infra.security.principal import Principal
from infra.strict_json import MAX_DEPTH
from infra.turns import TooManyWaiting

log = structlog.get_logger()

Answer = dict[str, Any]  # a JSON object
POSITION = "position"
JSON = b"application/json"
_JSON_TYPES = (JSON, b"application/merge-patch+json")
_MAY_BE_BLANK = frozenset({"cursor", "ids"})


def _position(text: str | None) -> str | None:
    if text is not None:
        parse_position(text)
    return text


MinPosition = Annotated[
    str | None,
    Query(description="Wait up to 2 s until the read model has reached this position of an earlier answer."),
    AfterValidator(_position),
]
# A read of the write side is current: it takes a position (contract, "Position"), and has nothing to wait for.
_MIN_POSITION = Parameter("min_position", Parameter.KEYWORD_ONLY, annotation=MinPosition, default=None)


class Parameters:
    """What several endpoints read from the query, as one parameter of their handlers: what its constructor takes."""


class _Read(NamedTuple):
    """A parameter of the query: its name there, its name in the handler, and what reads it."""

    alias: str
    name: str
    adapter: TypeAdapter[Any]
    required: bool


@dataclass(kw_only=True, eq=False)
class Endpoint:
    """One call of the API.

    `handler` takes the call, the parts of the path, what it reads from the query, and the body as its model; it returns
    a Response, or what is sent as JSON with `status`. `answers` is what the document says of that. Where anybody may,
    the handler takes the bare request. `keyed`: it takes an idempotency key. `max_bytes`: of the body.
    """

    method: str
    path: str
    name: str
    may: Rule
    handler: Callable[..., Any]
    answers: Any = None
    summary: str
    description: str | None = None
    status: int = 200
    body: Any = None
    keyed: bool = True
    max_bytes: int = MAX_BODY
    max_depth: int = MAX_DEPTH
    convertors: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.path_regex, self.path_format, self.convertors = compile_path(self.path)
        self._inspect()

    def _inspect(self) -> None:
        """Find out from the handler's signature what is read for it."""
        takes = {name.strip("_"): each for name, each in signature(self.handler).parameters.items()}
        if self.body is None and "body" in takes:
            self.body = takes["body"].annotation
        taken = [each for name, each in takes.items() if name not in _OURS]
        self._parts = [each.name for each in taken if each.name in self.convertors]
        queried = [each for each in taken if each.name not in self.convertors and not _is_group(each)]
        self._groups: list[tuple[str, type[Parameters], frozenset[str]]] = []
        for each in filter(_is_group, taken):
            parts = signature(each.annotation).parameters
            self._groups.append((each.name, each.annotation, frozenset(parts)))
            queried += parts.values()
        waits = any(each.name == "min_position" for each in queried)
        self._queried = queried if waits or self.open or self.method != "GET" else [*queried, _MIN_POSITION]
        self._current = self._queried != queried
        self._read = [
            _Read(_alias(each), each.name, TypeAdapter(each.annotation), each.default is Parameter.empty)
            for each in self._queried
        ]
        self._required = any(each.required for each in self._read)
        names = {each.alias for each in self._read}
        if self.body is not None and not self.keyed:
            names.add("min_position")  # a question that is asked by POST is a read
        blank = {_alias(each) for each in self._queried if each.default == ""}
        self.known = Known(frozenset(names), _MAY_BE_BLANK | blank)
        self._adapter: TypeAdapter[Any] | None = TypeAdapter(self.body) if self.body is not None else None

    @property
    def open(self) -> bool:
        """Whether it needs no login."""
        return not self.may.roles

    async def serve(self, services: Services, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        room = scope[ROOM] = Room(services.large_bodies) if self.max_bytes > MAX_BODY else None
        try:
            await self.respond(services, scope, receive, send)
        except Problem as problem:
            await send_problem(send, problem)
        finally:
            if room is not None:
                room.leave()

    async def respond(self, services: Services, scope: Scope, receive: Receive, send: Send) -> None:
        """The same. Raises Problem for what is answered by one."""
        try:
            answer = await (
                self._opened(services, scope, receive) if self.open else self._called(services, scope, receive)
            )
            if isinstance(answer, Response):
                await answer(scope, receive, send)
            else:
                await send_bytes(send, self.status, msgspec.json.encode(answer))
        except UNREACHABLE as error:
            log_failed_read(scope["path"], error)
            raise away(error) from None

    async def _opened(self, services: Services, scope: Scope, receive: Receive) -> Any:
        scope["scrip.services"] = services
        return await self.handler(Request(scope, receive), **scope["path_params"])

    async def _called(self, services: Services, scope: Scope, receive: Receive) -> Any:
        head = read_head(scope)
        call = await admit(services, self.may, scope, head, self.known)
        given: dict[str, Any] = {name: call.params[name] for name in self._parts}
        read = self._of_query(call) if call.query or self._required else {}
        for name, group, parts in self._groups:
            given[name] = group(**{each: read.pop(each) for each in parts & read.keys()})
        given |= read
        if self._adapter is None:
            if self.method != "GET":
                await receive_body(receive, head)  # there is nothing in it for us, but what is cut is not done
            return await self.handler(call, **given)
        raw = await receive_body(receive, head, self.max_bytes, room_of(scope, call))
        body = self.read_body(call, raw)
        if self.keyed:
            call.key = idempotency_key(head)
        return await self.handler(call, body, **given)

    def _of_query(self, call: Call) -> dict[str, Any]:
        """What the query gives, by the handler's names. Raises Problem (422)."""
        values, found = dict(call.query), {}
        for alias, name, adapter, required in self._read:
            if alias in values:
                try:
                    found[name] = adapter.validate_python(values[alias])
                except ValidationError as error:
                    raise _invalid_parameter(alias, error) from None
            elif required:
                raise Problem(422, "invalid_value", f"{alias}: Field required.", field=alias)
        if self._current:
            found.pop("min_position", None)
        return found

    def read_body(self, call: Call, raw: bytes) -> Any:
        """The body as its model; none is an empty object. Raises Problem (400, 403, 422)."""
        return self.read_value(call, strict_json(raw, self.max_depth) if raw else {})

    def read_value(self, call: Call, value: Any) -> Any:
        """The same of a body that was parsed before."""
        if not isinstance(value, dict):
            raise Problem(422, "invalid_value", "The body must be a JSON object.")
        call.value = value
        try:
            return self._adapter.validate_python(value)  # type: ignore[union-attr]  # it has a body
        except ValidationError as error:
            raise invalid_body(error, call.principal) from None

    def documented(self) -> APIRoute:
        """What FastAPI describes."""
        return APIRoute(
            self.path,
            self._signed(),
            methods=[self.method],
            name=self.name,
            operation_id=self.name,
            summary=self.summary,
            description=self.description,
            status_code=self.status,
            response_model=self.answers,
            responses=self._responses(),
            openapi_extra=self._extra(),
        )

    def _responses(self) -> dict[int | str, dict[str, Any]] | None:
        return None if self.open and self.body is None else PROBLEMS

    def _extra(self) -> dict[str, Any] | None:
        if self.open:
            return {"security": []}
        return {"parameters": [_IDEMPOTENCY_KEY]} if self.body is not None and self.keyed else None

    def _signed(self) -> Callable[..., Any]:
        """A function with the signature that FastAPI describes. Its text is the body's, with an unusual limit of it."""

        async def described(**_: Any) -> None:
            raise AssertionError(f"{self.name} is not run by FastAPI")

        parts = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=str) for name in self.convertors]
        queried = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in self._queried]
        body = [Parameter("body", Parameter.KEYWORD_ONLY, annotation=self.body)] if self.body is not None else []
        described.__signature__ = Signature([*parts, *queried, *body])  # type: ignore[attr-defined]  # what FastAPI inspects
        text = cleandoc(self.body.__doc__ or "") if self.body is not None and not self.open else ""
        if self.max_bytes != MAX_BODY:
            text += f"\n\nThe body has at most {self.max_bytes:,} bytes."
        described.__doc__ = text
        return described


# Parameters of a handler that are none of path and query.
_OURS = frozenset({"call", "request", "body", "sealed"})
REPLAYED = {"Idempotency-Replayed": "true"}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key and request get the first answer again, refusals included.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def endpoint(call: str, may: Rule, answers: Any = None, **options: Any) -> Callable[[Callable[..., Any]], Endpoint]:
    """Declare a handler as an endpoint. `call`: method and path. Its text is the summary, its name the operation's."""
    return declare(Endpoint, call, may, answers, **options)


AnyEndpoint = TypeVar("AnyEndpoint", bound=Endpoint)


def declare(
    kind: type[AnyEndpoint], call: str, may: Rule, answers: Any = None, **options: Any
) -> Callable[[Callable[..., Any]], AnyEndpoint]:
    """The same for an endpoint of some `kind`."""
    method, _, path = call.partition(" ")

    def declared(handler: Callable[..., Any]) -> AnyEndpoint:
        summary = cleandoc(handler.__doc__ or "").partition("\n\n")[0].replace("\n", " ").removesuffix(".")
        own = {"name": handler.__name__, "summary": summary} | options
        return kind(method=method, path=path, may=may, answers=answers, handler=handler, **own)

    return declared


def shaped(model: type[BaseModel], source: object, /, **values: Any) -> Answer:
    """An answer with the fields of `model`: `values`, and the attributes of `source` for the others.

    Without `position` in `values` the answer has none: the endpoint of a command adds it.
    """
    names = [name for name in model.model_fields if name != POSITION or name in values]
    return {name: values[name] if name in values else getattr(source, name) for name in names} | values


def _is_group(parameter: Parameter) -> bool:
    return isinstance(parameter.annotation, type) and issubclass(parameter.annotation, Parameters)


def _alias(parameter: Parameter) -> str:
    for mark in getattr(parameter.annotation, "__metadata__", ()):
        alias = getattr(mark, "alias", None)
        if alias:
            return str(alias)
    return parameter.name


class Routes:
    """From method and path to the endpoint; a fixed part of a path goes before one that may be anything.

    Raises ValueError where two endpoints are one call or have one name.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._all = sorted(endpoints, key=lambda each: [part.startswith("{") for part in each.path.split("/")])
        self._fixed: dict[tuple[str, str], Endpoint] = {}  # by method and path
        self._shaped: defaultdict[tuple[str, int], list[Endpoint]] = defaultdict(list)  # by method and slashes
        self._long: defaultdict[str, list[Endpoint]] = defaultdict(list)  # a part may have slashes; by method
        for one in self._all:
            if any(isinstance(each, PathConvertor) for each in one.convertors.values()):
                self._long[one.method].append(one)
            elif one.convertors:
                self._shaped[one.method, one.path.count("/")].append(one)
            else:
                self._fixed[one.method, one.path] = one
        names = [name for each in self._all for name in (each.name, f"{each.method} {each.path}")]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise ValueError(f"declared twice: {', '.join(twice)}")

    def find(self, method: str, path: str) -> tuple[Endpoint | None, dict[str, str]]:
        """The endpoint and the parts of its path, or None."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, {}
        for one in chain(self._shaped.get((method, path.count("/")), ()), self._long.get(method, ())):
            found = one.path_regex.fullmatch(path)
            if found is not None:
                return one, found.groupdict()
        return None, {}

    def methods(self, path: str) -> list[str]:
        """The methods of this path, HEAD beside GET; none where there is no such path."""
        found = {each.method for each in self._all if each.path_regex.fullmatch(path)}
        return sorted(found | {"HEAD"} if "GET" in found else found)


class Router:
    """Serves every request of HTTP; `rest` takes the other messages of a server."""

    def __init__(self, services: Services, routes: Routes, rest: ASGIApp) -> None:
        self._services, self._routes, self._rest = services, routes, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: 404 where there is no such path, 405 where it has other methods."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        one, scope["path_params"] = self._routes.find(method, path)
        if one is not None:
            scope["route"] = one
            await one.serve(self._services, scope, receive, send)
            return
        methods = ", ".join(self._routes.methods(path))
        if not methods:
            await send_problem(send, Problem(404, "no_such_path", "Not Found."))
            return
        detail = f"{method} is not allowed here, but {methods}."
        await send_problem(send, Problem(405, "method_not_allowed", detail, headers={"Allow": methods}))


def services_of(request: Request) -> Services:
    """What an endpoint without a login is served with."""
    services: Services = request.scope["scrip.services"]
    return services


def room_of(scope: Scope, call: Call) -> Room | None:
    """The room for a large body, for its caller; None where the endpoint takes no large body."""
    room: Room | None = scope[ROOM]
    if room is not None:
        room.org, room.login = call.org, call.principal.actor
    return room


async def send_bytes(
    send: Send, status: int, body: bytes, media_type: bytes = JSON, headers: dict[str, str] | None = None
) -> None:
    """Send a whole answer."""
    start = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
    if headers:
        start += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, problem: Problem) -> None:
    """Send a problem."""
    await send_bytes(send, problem.status, problem.encoded(), MEDIA_TYPE, problem.headers)


async def receive_body(receive: Any, head: Head, limit: int = MAX_BODY, room: Room | None = None) -> bytes:
    """The body, counted while it comes in. `room`: for what is above MAX_BODY.

    Raises Problem (413, 415, 400 where the caller went away; 429, 503 where there is no room).
    """
    _check_head(head, limit, room)
    message = await receive()
    body: bytes = message.get("body", b"")
    if room is not None and len(body) > MAX_BODY:
        room.take(len(body))
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body") and size <= limit:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if room is not None and MAX_BODY < size <= limit:
                room.take(size)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise Problem(400, "incomplete", "The request ended before its body was complete.")
    if len(body) > limit:
        raise _too_large(limit)
    if body and head.content_type is not None and not _is_json(head.content_type):
        raise Problem(415, "unsupported_media_type", "The body must be application/json in UTF-8.")
    return body


def _check_head(head: Head, limit: int, room: Room | None) -> None:
    """Raises Problem for a body that need not be read (413, 415), or for which there is no room now (429, 503)."""
    length = head.content_length
    if length is not None and (not length.isdigit() or int(length) > limit):
        raise _too_large(limit)
    if head.content_encoding not in (None, b"identity"):
        raise Problem(415, "unsupported_encoding", "The body must not be compressed.")
    if room is not None and length is not None and int(length) > MAX_BODY:
        room.look(int(length))


def idempotency_key(head: Head) -> str | None:
    """The request's key: 1 to 255 visible ASCII characters. Raises Problem (400)."""
    if head.key is None:
        return None
    if not 1 <= len(head.key) <= 255 or any(not 0x21 <= byte <= 0x7E for byte in head.key):
        raise Problem(
            400,
            "invalid_idempotency_key",
            "The key must be 1 to 255 visible ASCII characters.",
            field="Idempotency-Key",
        )
    return head.key.decode()


# pydantic names Python's types where it reads values, and JSON's where it reads JSON.
_AS_JSON = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "Input should be an object"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "Input should be a valid array"),
}


def as_json(error: ValidationError) -> Any:
    """The first thing that is wrong, as pydantic says it of JSON."""
    first: Any = error.errors(include_url=False)[0]
    return first | {"msg": _AS_JSON.get(first["type"], first["msg"])}


def invalid_body(error: ValidationError, principal: Principal) -> Problem:
    """The first thing that is wrong with a body, by the path to it; naming another organisation is forbidden."""
    first = as_json(error)
    field = ".".join(str(part) for part in first["loc"])[:200]
    if first["type"] == "extra_forbidden" and field in ORGANISATION_NAMES and first["input"] != principal.org:
        return other_organisation()
    limits = {
        name: value
        for name, value in (first.get("ctx") or {}).items()
        if name in {"ge", "le", "gt", "lt", "min_length", "max_length", "expected", "pattern"}
    }
    limit = next(
        (limits[name] for name in ("le", "max_length", "ge", "min_length", "expected") if name in limits), None
    )
    reason = first["msg"].removeprefix("Value error, ")
    detail = f"{field}: {reason}." if field else f"The body {reason}."
    codes = {"extra_forbidden": "unknown_field", "missing": "missing_field"}
    return Problem(422, codes.get(first["type"], "invalid_value"), detail, field=field or None, limit=limit)


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.lower().partition(b";")
    charset = parameters.partition(b"charset=")[2].partition(b";")[0].strip(b' "')
    return kind.strip() in _JSON_TYPES and charset in (b"", b"utf-8", b"utf8", b"us-ascii")


def _too_large(limit: int) -> Problem:
    return Problem(413, "body_too_large", f"The body is larger than {limit} bytes.", limit=limit)


def _invalid_parameter(name: str, error: ValidationError) -> Problem:
    """The first thing that is wrong with a parameter of a query."""
    first = error.errors(include_url=False)[0]
    field_ = ".".join(str(part) for part in (name, *first["loc"]))
    reason = first["msg"].removeprefix("Value error, ")
    plus = f" {PLUS}" if first["type"] == "string_pattern_mismatch" and " " in str(first["input"]) else ""
    context = first.get("ctx") or {}
    limit = next((context[name] for name in ("le", "max_length", "ge", "expected") if name in context), None)
    return Problem(422, "invalid_value", f"{field_}: {reason}.{plus}", field=field_, limit=limit)


def log_failed_read(path: str, error: BaseException) -> None:
    """Write down that a read failed; not where its caller had too much waiting, which is logged as what was denied."""
    if not isinstance(error, TooManyWaiting):
        log.warning("a read failed", path=path, error=type(error).__name__)
