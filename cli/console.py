"""The console beside the API, in one process: its pages reach the API by HTTP without a network."""

from collections.abc import Callable

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp

from api.app import MIN_SECRET_BYTES, UnsafeSettings
from console.app import create_console
from console.settings import ConsoleSettings, OpenIdConnect, Sign
from domain.text import visible
from infra.security.console_sessions import ConsoleSessions
from infra.security.principal import Role
from infra.security.tokens import Tokens
from infra.settings import Settings

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


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
