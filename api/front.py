"""The short way to a route: from the edge straight to it.

Between the edge and a route FastAPI has layers that ours do not need: they handle their own problems, open no files
and depend on nothing that must be closed. The routes stay where they are, for the document and for whatever does not
match here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem
from api.routing import BodyRoute, CommandRoute, ReadRoute, send_problem


class Front:
    """Takes what one of our routes answers, the first of `routes` that matches; everything else goes to `rest`."""

    def __init__(self, rest: ASGIApp, routes: Sequence[APIRoute]) -> None:
        self._rest = rest
        self._routes = routes
        self._fixed: dict[tuple[str, str], APIRoute] = {}  # by method and path
        self._shaped: defaultdict[tuple[str, int], list[APIRoute]] = defaultdict(list)  # by method and slashes
        for route in routes:
            for method in route.methods or ():
                if route.param_convertors:
                    self._shaped[method, route.path.count("/")].append(route)
                else:
                    first = next(r for r in routes if method in (r.methods or ()) and r.path_regex.match(route.path))
                    self._fixed[method, route.path] = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            fixed = self._fixed.get((method, path))
            for route in [fixed] if fixed is not None else self._shaped.get((method, path.count("/")), ()):
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
