"""Signing in and out: by name alone while developing, through OpenID Connect in production."""

import re
import time
from typing import Any

import httpx
from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from console.headers import forged, new_token, protect
from console.oidc import oidc_routes
from console.person import ROLES, person_of, sign_in
from console.settings import ConsoleSettings
from console.visit import local

_CSRF = "login_csrf"
_ID = re.compile(r"[A-Za-z0-9._:@|+=~-]{1,255}")  # the contract's ids


def login_routes(settings: ConsoleSettings, templates: Environment, api: httpx.AsyncClient) -> list[Route]:
    """`/login`, `/logout`, and what the chosen way of signing in needs besides."""
    login = _Login(settings, templates)
    oidc = settings.oidc
    return [
        *(oidc_routes(oidc, login.refuse, api, https=settings.https) if oidc else []),
        Route("/login", login.show, methods=["GET"]),
        Route("/login", login.take, methods=["POST"]),
        Route("/logout", login.leave, methods=["POST"]),
    ]


class _Login:
    def __init__(self, settings: ConsoleSettings, templates: Environment) -> None:
        self._settings = settings
        self._templates = templates

    async def show(self, request: Request) -> Response:
        """The form, or the way to the issuer; who is signed in goes on."""
        if person_of(request) is not None:
            return protect(RedirectResponse(local(request.query_params.get("next", "/")), status_code=303))
        return self._page(request, {})

    async def take(self, request: Request) -> Response:
        """Sign in by name: development only."""
        sign = self._settings.sign
        if sign is None or await forged(request, request.session.get(_CSRF, "")):
            return self._page(request, {}, "This form is too old. Try again.", 403)
        form = await request.form()
        given = {name: str(form.get(name, "")).strip() for name in ("org", "sub", "role")}
        if not _ID.fullmatch(given["org"]) or not _ID.fullmatch(given["sub"]) or given["role"] not in ROLES:
            return self._page(request, given, "Organisation and user are letters, digits and . _ : @ | + = ~ -", 422)
        token = sign(given["org"], given["sub"], given["role"], self._settings.session_s)
        sign_in(request, **given, token=token, expires_at=int(time.time()) + self._settings.session_s)
        return protect(RedirectResponse(local(str(form.get("next", "/"))), status_code=303))

    async def leave(self, request: Request) -> Response:
        """End the session."""
        person = person_of(request)
        if person is not None and await forged(request, person.csrf):
            return self._page(request, {}, "This form is too old. Try again.", 403)
        request.session.clear()
        return protect(RedirectResponse("/login", status_code=303))

    def refuse(self, request: Request, why: str) -> Response:
        """The sign-in again, saying why."""
        return self._page(request, {}, why, 403)

    def _page(self, request: Request, given: dict[str, Any], error: str = "", status: int = 200) -> Response:
        token = request.session.setdefault(_CSRF, new_token())
        html = self._templates.get_template("login.html").render(
            development=self._settings.sign is not None,
            oidc=self._settings.oidc is not None,
            roles=ROLES,
            given=given,
            error=error,
            csrf=token,
            next=local(request.query_params.get("next", "/")),
        )
        return protect(HTMLResponse(html, status_code=status))
