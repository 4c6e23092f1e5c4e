"""The role `scrip api`: the application with everything that it offers, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp

from api.app import MIN_SECRET_BYTES, UnsafeSettings, create_app, publishing
from api.http.problems import Problem
from api.http.server import serve
from api.http.services import Services
from api.operator.health import metrics_of
from console.app import create_console
from console.settings import ConsoleSettings, OpenIdConnect, Sign
from consumers.asyncapi import asyncapi_document
from consumers.intake.retry import quarantine_retry
from domain.registry import SCRIP
from domain.text import visible
from infra.audit.report import Progress
from infra.audit.runs import audited
from infra.decisions import RefusedChecks
from infra.disk import disk_watch
from infra.postgres.selfcheck import check_postgres
from infra.quarantine import NotQuarantined
from infra.role_metrics import metrics_served
from infra.security.console_sessions import ConsoleSessions
from infra.security.principal import Role
from infra.security.tokens import Tokens
from infra.settings import Settings
from infra.writer.ledger import Ledger
from infra.writer.reader import Reader
from infra.writer.writer import Writer

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


async def run_api(settings: Settings, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
    """Serve HTTP until `stop` is set.

    Raises UnsafeSetting for a database that could lose what it acknowledges, UnsafeSettings for missing keys,
    PortTaken, psycopg.Error where the database is away.
    """
    uri = settings.writer_url.get_secret_value()
    for login in (settings.writer_url, settings.reader_url, settings.auditor_url):
        await asyncio.to_thread(check_postgres, login.get_secret_value())
    deadline_s = settings.request_deadline_s
    disk = disk_watch(settings)
    ledger = Ledger(Writer(uri, SCRIP, disk=disk), deadline_s, Reader(uri, SCRIP, deadline_s, disk=disk))

    async def audit(by: str, progress: Progress) -> dict[str, Any]:
        return (await audited(settings, SCRIP.resources.kinds, by, progress)).as_json()

    async with quarantine_retry(settings, ledger) as again:

        async def retry(org: str, id_: str) -> dict[str, Any]:
            try:
                return await again(org, id_)
            except NotQuarantined as error:
                raise Problem(404, "not_found", "There is no such event in quarantine.") from error

        topics = partial(asyncapi_document, settings.topic_prefix)
        console = console_of(settings)
        app = create_app(settings, ledger, verify=audit, retry=retry, asyncapi=topics, pages=console)
        checks = RefusedChecks(settings)
        services: Services = app.state.services
        services.on_refused_check, services.metrics.checks = publishing(checks), checks
        checks.start()
        try:
            with metrics_served(settings, metrics_of(app.state.services)):
                await serve(app, settings, lambda _host, _port: on_ready() if on_ready else None, stop)
        finally:
            await checks.stop()


def console_of(settings: Settings) -> Callable[[FastAPI], ASGIApp] | None:
    """What makes the console of an API; None where the deployment wants none.

    Raises UnsafeSettings for a session key that is too short, or a development login that others could reach.
    """
    if not settings.console:
        return None
    secret = settings.session_secret.get_secret_value()
    if len(secret) < MIN_SECRET_BYTES:
        raise UnsafeSettings(f"SCRIP_SESSION_SECRET must have at least {MIN_SECRET_BYTES} bytes.")
    chosen = ConsoleSettings(
        session_secret=secret,
        https=settings.https,
        sign=_development_login(settings),
        oidc=_oidc(settings),
        session_s=settings.session_max_s,
        report_to=settings.link_admin,
        visible=visible,
    )

    def make(api: FastAPI) -> ASGIApp:
        store = ConsoleSessions(
            api.state.services.database.writes, secret, idle_s=settings.session_idle_s, max_s=settings.session_max_s
        )
        # Without an address: what the console asks for people counts for none of theirs.
        transport = httpx.ASGITransport(api, raise_app_exceptions=False, client=("", 0))
        return create_console(chosen, transport, store, api.state.services.failed_logins)

    return make


def _development_login(settings: Settings) -> Sign | None:
    if not settings.development_login:
        return None
    if settings.host not in LOOPBACK:
        raise UnsafeSettings("SCRIP_DEVELOPMENT_LOGIN lets anybody in as anybody: only with a loopback SCRIP_HOST.")
    tokens = Tokens(settings)

    def sign(org: str, sub: str, role: str, seconds: int) -> str:
        return tokens.issue(org, sub, Role(role), seconds)[0]

    return sign


def _oidc(settings: Settings) -> OpenIdConnect | None:
    if not settings.oidc_issuer:
        return None
    return OpenIdConnect(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret.get_secret_value(),
        scopes=settings.oidc_scopes,
        token=settings.oidc_token,
        logout=settings.oidc_logout,
    )
