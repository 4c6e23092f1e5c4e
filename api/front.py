"""The short way to a route: from the edge straight to it.

Between the edge and a route FastAPI has layers that ours do not need: they handle their own problems, open no files
and depend on nothing that must be closed. The routes stay where they are, for the document and for whatever does not
match here.
"""

from collections import defaultdict
from collections.abc import Sequence

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.routing import BodyRoute, CommandRoute, ReadRoute


class Front:
    """Takes what one of our routes answers, the first of `routes` that matches; everything else goes to `rest`."""

    def __init__(self, rest: ASGIApp, routes: Sequence[APIRoute]) -> None:
        self._rest = rest
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
        await self._rest(scope, receive, send)


def _short_way(route: APIRoute, scope: Scope) -> ASGIApp | None:
    if isinstance(route, CommandRoute | BodyRoute):
        return route.app
    return route.short if isinstance(route, ReadRoute) and not scope["query_string"] else None
