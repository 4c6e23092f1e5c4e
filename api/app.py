"""The application: routes, policy and services put together."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from http import HTTPStatus
from itertools import chain
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.convertors import PathConvertor
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.database import UNREACHABLE
from api.edge import Edge
from api.guard import log_failed_read
from api.hosts import of_pages, of_whole_service
from api.policy import check_policy
from api.problems import MEDIA_TYPE, Problem, away, fault, of_the_machine, unavailable
from api.query import PLUS
from api.routes import all_routes
from api.routes.documents import TITLE, VERSION
from api.routing import BodyRoute, CommandRoute, ReadRoute, send_problem
from api.services import Retry, Services, Verify, make_services
from infra.settings import Settings
from infra.writer.ledger import Ledger

MIN_SECRET_BYTES = 32
OPEN_PATHS = frozenset({"/livez", "/readyz", "/health", "/metrics"})


class UnsafeSettings(Exception):
    """A setting without which the API must not serve; the message names it."""


def create_app(
    settings: Settings,
    ledger: Ledger,
    *,
    verify: Verify | None = None,
    retry: Retry | None = None,
    asyncapi: Callable[[], dict[str, Any]] | None = None,
    on_start: Callable[[], Awaitable[None]] | None = None,
    pages: Callable[[FastAPI], ASGIApp] | None = None,
) -> FastAPI:
    """The API over a ledger whose writer the application starts and stops, unless it runs already.

    `verify` runs the audit and returns its report, `retry` tries a quarantined usage event again (organisation, id),
    `asyncapi` makes the document of the topics, `pages` makes what serves every path that is none of the API's.
    Raises PolicyMismatch, UnsafeSettings.
    """
    _check_settings(settings)
    services = make_services(settings, ledger)
    services.verify, services.retry, services.asyncapi = verify, retry, asyncapi

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with _serving(services):
            if on_start is not None:
                await on_start()
            yield

    app = _Api(
        title=TITLE,
        version=VERSION,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=_handlers(),
    )
    for route in all_routes(services):
        app.router.routes.append(route)
    check_policy(route.name for route in app.router.routes if hasattr(route, "name"))
    app.state.services = services
    app.state.pages = pages(app) if pages else None
    return app


@asynccontextmanager
async def _serving(services: Services) -> AsyncIterator[None]:
    """Open what the services need, and close it in reverse."""
    writer, reader = services.ledger.writer, services.ledger.reader
    with ExitStack() if writer.connected else writer:
        await reader.start()
        try:
            await services.open()
            yield
        finally:
            await services.close()
            await reader.stop()


def _check_settings(settings: Settings) -> None:
    if len(settings.fingerprint_secret.get_secret_value()) < MIN_SECRET_BYTES:
        raise UnsafeSettings(f"SCRIP_FINGERPRINT_SECRET must have at least {MIN_SECRET_BYTES} bytes.")
    secret = settings.jwt_secret.get_secret_value()
    if secret and len(secret) < MIN_SECRET_BYTES:
        raise UnsafeSettings(f"SCRIP_JWT_SECRET must have at least {MIN_SECRET_BYTES} bytes.")
    if not secret and not settings.jwks_url:
        raise UnsafeSettings("Either SCRIP_JWT_SECRET or SCRIP_JWKS_URL must be set.")
    for login, uri in (("READER", settings.reader_url), ("AUDITOR", settings.auditor_url)):
        if not uri.get_secret_value():
            raise UnsafeSettings(f"SCRIP_{login}_URL must be set: reads pass by another login than commands.")


class _Api(FastAPI):
    """FastAPI with our own layers outermost, so that every answer passes the edge, those to preflights too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Without FastAPI's own telemetry, which looks at the environment for every request."""
        scope["app"] = self
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        services: Services = self.state.services
        settings = services.settings
        routes = [route for route in self.router.routes if isinstance(route, APIRoute)]
        inner: ASGIApp = Front(super().build_middleware_stack(), routes)
        origins = [origin.strip() for origin in settings.allowed_origins.split(",") if origin.strip()]
        if origins:
            inner = CORSMiddleware(
                inner,
                allow_origins=origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=[
                    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID"),
                    *("Scrip-Organisation", "Prefer"),
                ],
                expose_headers=["ETag", "Idempotency-Replayed", "Preference-Applied", "Request-Id", "Retry-After"],
                max_age=600,
            )
        if self.state.pages is not None:
            inner = _beside(of_pages(settings, self.state.pages), inner)
        return Edge(inner, services.metrics, https=settings.https, hosts=of_whole_service(settings))


def _beside(pages: ASGIApp, api: ASGIApp) -> ASGIApp:
    """The API for its own paths, the pages for all others."""

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        ours = scope["type"] != "http" or path.startswith("/api/") or path in OPEN_PATHS
        await (api if ours else pages)(scope, receive, send)

    return choose


def _handlers() -> dict[Any, Any]:
    known: dict[Any, Any] = {
        Problem: _problem,
        HTTPException: _http,
        RequestValidationError: _unprocessable,
        Exception: _fault,
    }
    return known | dict.fromkeys(UNREACHABLE, _unreachable)


async def _problem(_request: Request, error: Exception) -> Response:
    problem = error if isinstance(error, Problem) else unavailable()
    return Response(
        problem.encoded(), status_code=problem.status, media_type=MEDIA_TYPE.decode(), headers=problem.headers
    )


async def _unreachable(request: Request, error: Exception) -> Response:
    log_failed_read(request.url.path, error)
    return await _problem(request, of_the_machine(error, request.method) or away(error))


async def _http(request: Request, error: Exception) -> Response:
    """Starlette's own: no such path, no such method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(getattr(error, "headers", None) or {})
    code = {404: "no_such_path", 405: "method_not_allowed"}.get(status, "http_error")
    return await _problem(request, Problem(status, code, f"{HTTPStatus(status).phrase}.", headers=headers))


async def _unprocessable(request: Request, error: Exception) -> Response:
    """A parameter of a read that cannot be right."""
    first: dict[str, Any] = dict(error.errors()[0]) if isinstance(error, RequestValidationError) else {}
    field = ".".join(str(part) for part in first.get("loc", ())[1:])
    reason = str(first.get("msg", "")).removeprefix("Value error, ")
    plus = f" {PLUS}" if first.get("type") == "string_pattern_mismatch" and " " in str(first.get("input", "")) else ""
    context = first.get("ctx") or {}
    limit = next((context[name] for name in ("le", "max_length", "ge", "expected") if name in context), None)
    return await _problem(
        request, Problem(422, "invalid_value", f"{field}: {reason}.{plus}", field=field or None, limit=limit)
    )


async def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours, or of the machine. The edge, to which it is raised again, writes it to the log."""
    return await _problem(request, of_the_machine(error, request.method) or fault())


class Front:
    """The short way from the edge to a route, the first of `routes` that matches; everything else goes to `rest`.

    FastAPI has layers in between that our routes do not need: they handle their own problems, open no files and depend
    on nothing that must be closed.
    """

    def __init__(self, rest: ASGIApp, routes: Sequence[APIRoute]) -> None:
        self._rest = rest
        self._routes = routes
        self._fixed: dict[tuple[str, str], APIRoute] = {}  # by method and path
        self._shaped: defaultdict[tuple[str, int], list[APIRoute]] = defaultdict(list)  # by method and slashes
        self._long: defaultdict[str, list[APIRoute]] = defaultdict(list)  # a part may have slashes; by method
        for route in routes:
            for method in route.methods or ():
                if any(isinstance(each, PathConvertor) for each in route.param_convertors.values()):
                    self._long[method].append(route)
                elif route.param_convertors:
                    self._shaped[method, route.path.count("/")].append(route)
                else:
                    first = next(r for r in routes if method in (r.methods or ()) and r.path_regex.match(route.path))
                    self._fixed[method, route.path] = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            fixed = self._fixed.get((method, path))
            shaped = [fixed] if fixed is not None else self._shaped.get((method, path.count("/")), ())
            for route in chain(shaped, self._long.get(method, ())):
                found = route.path_regex.match(path)
                if found is not None:
                    app = _short_way(route, scope)
                    if app is None:
                        break
                    scope["path_params"], scope["route"] = found.groupdict(), route
                    await app(scope, receive, send)
                    return
            else:
                allowed = allowed_methods(self._routes, path)
                if allowed:
                    await send_problem(send, _not_allowed(method, allowed))
                    return
        await self._rest(scope, receive, send)


def allowed_methods(routes: Iterable[Route], path: str) -> list[str]:
    """The methods of all routes that have this path, HEAD beside GET; none where there is no such path."""
    found = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _not_allowed(method: str, allowed: list[str]) -> Problem:
    names = ", ".join(allowed)
    return Problem(405, "method_not_allowed", f"{method} is not allowed here, but {names}.", headers={"Allow": names})


def _short_way(route: APIRoute, scope: Scope) -> ASGIApp | None:
    if isinstance(route, CommandRoute | BodyRoute):
        return route.app
    return route.short if isinstance(route, ReadRoute) and not scope["query_string"] else None
