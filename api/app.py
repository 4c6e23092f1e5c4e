"""The application: endpoints and services put together."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api import alerts, budgets, prices
from api.accounts import commands as accounts_commands
from api.accounts import reads as accounts_reads
from api.batch import batch_of
from api.generations import commands as generations_commands
from api.generations import explain, storage
from api.generations import reads as generations_reads
from api.groups import commands as groups_commands
from api.groups import reads as groups_reads
from api.http import documents
from api.http.documents import TITLE, VERSION
from api.http.edge import Edge, of_pages, of_whole_service
from api.http.endpoint import Endpoint, Router, Routes
from api.http.services import Retry, Services, Verify, make_services
from api.log import audit, stream
from api.log import reads as log_reads
from api.operator import figures, health
from api.plans import catalogue, organisations, purchases, tokens
from api.users import analytics, keys, me
from api.users import reads as users_reads
from api.users import settings as users_settings
from domain.money import micros
from infra.decisions import DEDUCTION, RefusedChecks
from infra.settings import Settings
from infra.writer.ledger import Ledger


def publishing(checks: RefusedChecks) -> Callable[[str, dict[str, Any]], None]:
    """What `Services.on_refused_check` is to be: notes organisation and answer of a check that said no.

    With `deduction`, it was one of plan tokens.
    """

    def note(org: str, answer: dict[str, Any]) -> None:
        short = next((check for check in answer["checks"] if not check["ok"]), None)
        deficit = short["deficit"] if short else 0
        more = {"type_": DEDUCTION} if answer.get("deduction") else {}
        checks.refused_check(
            org,
            answer["user_id"],
            answer["operation"],
            answer.get("model"),
            answer["reason"],
            micros(deficit) if isinstance(deficit, str) else deficit,
            answer.get("actor", ""),
            answer.get("at"),
            **more,
        )

    return note


def _declared(*modules: ModuleType) -> Iterator[Endpoint]:
    for module in modules:
        for name, value in vars(module).items():
            if not name.startswith("_"):
                values = value if isinstance(value, tuple) else (value,)
                yield from (each for each in values if isinstance(each, Endpoint))


# Of paths that are alike, those of a subject further up are tried first: the busiest stand first.
DECLARED = tuple(
    _declared(
        *(generations_commands, generations_reads, explain, storage, accounts_commands, accounts_reads),
        *(groups_commands, groups_reads, budgets, prices),
        *(catalogue, tokens, purchases, organisations, users_reads, me, keys, users_settings, analytics),
        *(alerts, log_reads, audit, stream, figures, health, documents),
    )
)
ENDPOINTS = (*DECLARED, batch_of(DECLARED))
POLICY = {each.name: each.may for each in ENDPOINTS}  # who may do what


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
    Raises UnsafeSettings.
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
    )
    app.state.services, app.state.endpoints = services, ENDPOINTS
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
        inner: ASGIApp = Router(services, Routes(self.state.endpoints), super().build_middleware_stack())
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
