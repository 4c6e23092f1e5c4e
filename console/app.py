"""The console as one ASGI application over the API's transport."""

import errno
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
from jinja2 import Environment
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from console.api import DEADLINE_S, Api, ApiProblem
from console.bounded_form import BoundedForm
from console.catalogue import ALL_PAGES
from console.guesses import FailedLogins, Guesses
from console.headers import SAFE, forged, protect
from console.login import LOGIN_COOKIE, LOGIN_S, NO_COOKIE, login_routes
from console.oidc import NO_LOGIN, Issuer
from console.pages import Page
from console.sessions import ARRIVED, ARRIVING_S, COOKIE, Sessions, SessionStore, SignedOut, SignInAway
from console.settings import ConsoleSettings
from console.static_files import Components, Versioned
from console.templating import environment
from console.visit import Visit, local

HERE = Path(__file__).parent

Endpoint = Callable[[Request], Awaitable[Response]]


def create_console(
    settings: ConsoleSettings,
    transport: httpx.AsyncBaseTransport,
    store: SessionStore,
    failed_logins: FailedLogins | None = None,
) -> Starlette:
    """The pages; `transport` leads to the API, in this process or over the network, `store` keeps the sessions.

    `failed_logins` counts by address; None: sign-ins are not limited.
    """
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=DEADLINE_S)
    static = Versioned(HERE / "static")
    templates = environment(static, settings.visible)
    issuer = Issuer(settings, settings.oidc, client) if settings.oidc else None
    sessions = Sessions(store, settings, issuer.refresh if issuer else None)
    guesses = Guesses(failed_logins, templates)
    routes = [
        Mount("/static", static, name="static"),
        Mount("/components", Components(HERE / "components"), name="components"),
        *login_routes(settings, templates, sessions, issuer, guesses),
        *(_route(page, settings, client, templates, sessions, guesses) for page in ALL_PAGES),
    ]
    sign_in = Middleware(
        SessionMiddleware,
        secret_key=settings.session_secret,
        session_cookie=settings.cookie(LOGIN_COOKIE),
        max_age=LOGIN_S,
        same_site="lax",
        https_only=settings.https,
    )
    away = _away(templates)
    handlers = {HTTPException: _http(templates), ClientDisconnect: _cut, ConnectionError: away, SignInAway: away}
    handlers[OSError] = _full(templates)
    return Starlette(routes=routes, middleware=[sign_in], exception_handlers=handlers)


def _route(
    page: Page,
    settings: ConsoleSettings,
    client: httpx.AsyncClient,
    templates: Environment,
    sessions: Sessions,
    guesses: Guesses,
) -> Route:
    async def endpoint(request: Request) -> Response:
        request = BoundedForm(request)
        session = await sessions.of(request)
        if isinstance(session, SignedOut):
            if _cookie_was_refused(request, settings.cookie(COOKIE)):
                return protect(_told(templates, 403, NO_COOKIE))
            slowed = guesses.failed(request) if session.unknown else None
            return slowed or protect(_to_login(request, session.why))
        if request.method not in SAFE and await forged(request, session.person.csrf):
            return protect(_told(templates, 403, "This form has expired or was not sent from this page. Try again."))
        visit = Visit(request, session, Api(client, session.person), settings, templates)
        answer = await _answer(page, visit, sessions)
        with suppress(ConnectionError):  # the page has done its work; the store has logged its own failure
            await sessions.store(session)
        return protect(answer)

    return Route(page.path, endpoint, methods=[page.method], name=f"{page.method} {page.path}")


async def _answer(page: Page, visit: Visit, sessions: Sessions) -> Response:
    if visit.person.role not in page.roles:
        return _problem(visit, 403, "Your role may not see this page.")
    try:
        answer = await page.answer(visit)
    except ApiProblem as problem:
        if problem.status == NO_LOGIN:
            why = "expired" if problem.code == "token_expired" else "changed"
            await sessions.end(visit.session, why)
            return _to_login(visit.request, why)
        if page.back:
            ids = {name: quote(value, safe="") for name, value in visit.path.items()}
            return visit.redirect(page.back.format_map(ids), problem.detail, kind="error")
        return _problem(visit, problem.status, problem.detail)
    return answer if isinstance(answer, Response) else visit.render(page.template, **answer)


def _problem(visit: Visit, status: int, detail: str) -> Response:
    template = "problem_part.html" if visit.partial else "problem.html"
    return visit.render(template, status, title=HTTPStatus(status).phrase, detail=detail)


def _to_login(request: Request, why: str) -> Response:
    """To the sign-in, and back here afterwards. `why`: a key of ENDED, or empty."""
    here = _page_of(request)
    given = {name: value for name, value in (("next", here if here != "/" else ""), ("ended", why)) if value}
    to = f"/login?{httpx.QueryParams(given)}" if given else "/login"
    if request.headers.get("HX-Request") == "true":
        return Response(status_code=204, headers={"HX-Redirect": to})
    return RedirectResponse(to, status_code=303)


def _page_of(request: Request) -> str:
    """The page that the person looks at: the one asked for, or the one that sent a form or asked for a part."""
    if request.method in SAFE and request.headers.get("HX-Request") != "true":
        return local(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
    shown = urlsplit(request.headers.get("HX-Current-URL") or request.headers.get("Referer") or "")
    if shown.netloc != request.headers.get("Host"):
        return "/"
    return local(shown.path + (f"?{shown.query}" if shown.query else ""))


def _cookie_was_refused(request: Request, name: str) -> bool:
    """Whether a sign-in has just succeeded and the browser kept its own cookie, but not the session's."""
    arrived = request.session.get(ARRIVED, 0)
    return name not in request.cookies and time.time() - arrived < ARRIVING_S


def _http(templates: Environment) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def told(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = "There is no such page." if status == HTTPStatus.NOT_FOUND else HTTPStatus(status).phrase
        if isinstance(error, HTTPException) and status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            text = error.detail
        answer = protect(_told(templates, status, text))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            answer.headers["Allow"] = ", ".join(_allowed(request))
        return answer

    return told


async def _cut(_request: Request, _error: Exception) -> Response:
    """A form that did not come whole: its sender has gone, so this is for the metrics."""
    return Response(status_code=400)


def _allowed(request: Request) -> list[str]:
    """The methods of all pages at the request's path: each page is a route of its own, and has only its method."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    fitting = (route for route in routes if route.path_regex.match(request.url.path))
    return sorted({method for route in fitting for method in route.methods or ()})


def _away(templates: Environment) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def told(_request: Request, error: Exception) -> Response:
        what = "sign-in service" if isinstance(error, SignInAway) else "service"
        return protect(_told(templates, 503, f"The {what} does not answer at the moment. Try again."))

    return told


def _full(templates: Environment) -> Callable[[Request, Exception], Awaitable[Response]]:
    """A form's file that does not fit on the disk. Any other error of the system is a fault, and raised again."""

    async def told(_request: Request, error: Exception) -> Response:
        if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise error
        return protect(_told(templates, 503, "The service has no disk space left. Nothing was done. Try again later."))

    return told


def _told(templates: Environment, status: int, detail: str) -> Response:
    """A problem on a page without a menu: who asks may not be signed in."""
    html = templates.get_template("problem_bare.html").render(title=HTTPStatus(status).phrase, detail=detail)
    return Response(html, status_code=status, media_type="text/html")
