"""The short way to the busiest calls: from the edge straight to their route.

Between the edge and a route FastAPI has layers that a POST does not need: it handles its own problems, opens no
files and depends on nothing that must be closed. The routes stay where they are, for the document and for whatever
does not match here.
"""

from collections.abc import Sequence

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.routing import BodyRoute, CommandRoute


class Front:
    """Takes commands and questions that are POSTs, in the order of `routes`; everything else goes to `rest`."""

    def __init__(self, rest: ASGIApp, routes: Sequence[APIRoute]) -> None:
        self._rest = rest
        self._posts = [
            (route.path_regex.match, route, route.app)
            for route in routes
            if isinstance(route, CommandRoute | BodyRoute) and "POST" in (route.methods or ())
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            path = scope["path"]
            for match, route, app in self._posts:
                found = match(path)
                if found is not None:
                    scope["path_params"], scope["route"] = found.groupdict(), route
                    await app(scope, receive, send)
                    return
        await self._rest(scope, receive, send)
