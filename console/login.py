"""Signing in and out: by name alone while developing, through OpenID Connect in production."""

import re
import time
from typing import Any

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from console.bounded_form import sign_in_form
from console.guesses import Guesses
from console.headers import forged, new_token, protect
from console.oidc import NEXT, Issuer
from console.person import ROLES
from console.sessions import COOKIE, ENDED, Grant, Session, Sessions
from console.settings import ConsoleSettings
from console.visit import local

LOGIN_COOKIE = "scrip_login"  # of a sign-in under way: signed, without any token of the person
LOGIN_S = 3_600
NO_COOKIE = (
    "Your browser sent no cookie back, so the sign-in cannot go on. Try again. If that does not help, allow cookies for"
    " this address, and open it by https:// if the service is reached that way."
)
_CSRF = "login_csrf"
_ID = re.compile(r"[A-Za-z0-9._:@|+=~-]{1,255}")  # the contract's ids


def login_routes(
    settings: ConsoleSettings, templates: Environment, sessions: Sessions, issuer: Issuer | None, guesses: Guesses
) -> list[Route]:
    """`/login`, `/logout`, and what the chosen way of signing in needs besides."""
    login = _Login(settings, templates, sessions, issuer)
    return [
        *(issuer.routes(sessions, login.refuse, guesses) if issuer else []),
        Route("/login", login.show, methods=["GET"]),
        Route("/login", guesses.slowed(login.take), methods=["POST"]),
        Route("/logout", login.leave, methods=["POST"]),
    ]


class _Login:
    def __init__(
        self, settings: ConsoleSettings, templates: Environment, sessions: Sessions, issuer: Issuer | None
    ) -> None:
        self._settings = settings
        self._templates = templates
        self._sessions = sessions
        self._issuer = issuer

    async def show(self, request: Request) -> Response:
        """The form, or the way to the issuer; who is signed in goes on."""
        if isinstance(await self._sessions.of(request, fresh=False), Session):
            return protect(RedirectResponse(local(request.query_params.get("next", "/")), status_code=303))
        why = ENDED.get(request.query_params.get("ended", ""), "")
        return self._page(request, {}, f"You have been signed out because {why}. Sign in again." if why else "")

    async def take(self, request: Request) -> Response:
        """Sign in by name: development only."""
        request = sign_in_form(request)
        sign = self._settings.sign
        if sign is None or await forged(request, request.session.get(_CSRF, "")):
            return self.refuse(request, "This form is too old. Try again.")
        form = await request.form()
        given = {name: str(form.get(name, "")).strip() for name in ("org", "sub", "role")}
        after = {"next": str(form.get("next", "/"))}
        if not _ID.fullmatch(given["org"]) or not _ID.fullmatch(given["sub"]) or given["role"] not in ROLES:
            return self._page(
                request, given | after, "Organisation and user are letters, digits and . _ : @ | + = ~ -", 422
            )
        token = sign(given["org"], given["sub"], given["role"], self._settings.session_s)
        answer = protect(RedirectResponse(local(after["next"]), status_code=303))
        grant = Grant(**given, token=token, ends_at=int(time.time()) + self._settings.session_s)
        await self._sessions.begin(request, answer, grant)
        return answer

    async def leave(self, request: Request) -> Response:
        """End the session, here and where the issuer offers it there too."""
        request = sign_in_form(request)
        session = await self._sessions.of(request, fresh=False)
        if not isinstance(session, Session):
            return protect(RedirectResponse("/login", status_code=303))
        if await forged(request, session.person.csrf):
            return self._page(request, {}, "This form is too old. Try again.", 403)
        request.session.clear()
        await self._sessions.end(session)
        address = await self._issuer.sign_out_address(request, session.id_token) if self._issuer else ""
        answer: Response = RedirectResponse("/login", status_code=303)
        if address:  # not a redirect: the policy of our pages lets no form lead to another site
            answer = HTMLResponse(self._templates.get_template("signed_out.html").render(address=address))
        answer.delete_cookie(self._settings.cookie(COOKIE), httponly=True, secure=self._settings.https, samesite="lax")
        return protect(answer)

    def refuse(self, request: Request, why: str) -> Response:
        """The sign-in again, saying why."""
        given = {"next": request.session.get(NEXT, "/")}
        return self._page(
            request, given, why if self._settings.cookie(LOGIN_COOKIE) in request.cookies else NO_COOKIE, 403
        )

    def _page(self, request: Request, given: dict[str, Any], error: str = "", status: int = 200) -> Response:
        token = request.session.setdefault(_CSRF, new_token())
        html = self._templates.get_template("login.html").render(
            development=self._settings.sign is not None,
            oidc=self._settings.oidc is not None,
            roles=ROLES,
            given=given,
            error=error,
            csrf=token,
            next=local(request.query_params.get("next") or given.get("next") or "/"),
        )
        return protect(HTMLResponse(html, status_code=status))
