"""The console as one ASGI application over the API's transport."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

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
from console.catalogue import ALL_PAGES
from console.headers import SAFE, forged, protect
from console.login import login_routes
from console.pages import Page
from console.person import Person, person_of
from console.settings import ConsoleSettings
from console.static_files import Components, Versioned
from console.templates_env import environment
from console.visit import Visit, local

HERE = Path(__file__).parent
COOKIE = "scrip_session"
EXPIRED = 401

Endpoint = Callable[[Request], Awaitable[Response]]


def create_console(settings: ConsoleSettings, transport: httpx.AsyncBaseTransport) -> Starlette:
    """The pages; `transport` leads to the API, in this process or over the network."""
    client = httpx.AsyncClient(transport=transport, base_url="http://scrip", timeout=DEADLINE_S)
    static = Versioned(HERE / "static")
    templates = environment(static)
    routes = [
        Mount("/static", static, name="static"),
        Mount("/components", Components(HERE / "components"), name="components"),
        *login_routes(settings, templates, client),
        *(_route(page, settings, client, templates) for page in ALL_PAGES),
    ]
    session = Middleware(
        SessionMiddleware,
        secret_key=settings.session_secret,
        session_cookie=COOKIE,
        max_age=settings.session_s,
        same_site="lax",  # a link from the application must find the session; forms are guarded by a token
        https_only=settings.https,
    )
    handlers = {HTTPException: _http(templates), ClientDisconnect: _cut}
    return Starlette(routes=routes, middleware=[session], exception_handlers=handlers)


def _route(page: Page, settings: ConsoleSettings, client: httpx.AsyncClient, templates: Environment) -> Route:
    async def endpoint(request: Request) -> Response:
        person = person_of(request)
        if person is None:
            return protect(_to_login(request))
        if request.method not in SAFE and await forged(request, person.csrf):
            return protect(_told(request, templates, 403, "This form is too old or was not sent from here. Try again."))
        visit = Visit(request, person, Api(client, person), settings, templates)
        return protect(await _answer(page, visit))

    return Route(page.path, endpoint, methods=[page.method], name=f"{page.method} {page.path}")


async def _answer(page: Page, visit: Visit) -> Response:
    if visit.person.role not in page.roles:
        return _problem(visit, 403, "Your role may not see this page.")
    try:
        return await page.answer(visit)
    except ApiProblem as problem:
        if problem.status == EXPIRED:
            visit.request.session.clear()
            return _to_login(visit.request)
        return _problem(visit, problem.status, problem.detail)


def _problem(visit: Visit, status: int, detail: str) -> Response:
    template = "problem_part.html" if visit.partial else "problem.html"
    return visit.render(template, status, title=HTTPStatus(status).phrase, detail=detail)


def _to_login(request: Request) -> Response:
    """To the sign-in, and back here afterwards."""
    here = local(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
    to = "/login" if here == "/" or request.method not in SAFE else f"/login?{httpx.QueryParams({'next': here})}"
    if request.headers.get("HX-Request") == "true":
        return Response(status_code=204, headers={"HX-Redirect": "/login"})
    return RedirectResponse(to, status_code=303)


def _http(templates: Environment) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def told(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = "There is no such page." if status == HTTPStatus.NOT_FOUND else HTTPStatus(status).phrase
        answer = protect(_told(request, templates, status, text))
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


def _told(request: Request, templates: Environment, status: int, detail: str) -> Response:
    """A problem on a page without a menu: who asks may not be signed in."""
    person: Person | None = person_of(request) if "session" in request.scope else None
    html = templates.get_template("problem_bare.html").render(
        title=HTTPStatus(status).phrase, status=status, detail=detail, person=person
    )
    return Response(html, status_code=status, media_type="text/html")
