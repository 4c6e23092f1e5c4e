"""Pages as a table: path, method, roles, and the function that answers."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.responses import Response

from console.person import EVERYBODY
from console.visit import Visit

Handler = Callable[[Visit], Awaitable[Response]]


class Page(NamedTuple):
    """`roles`: who is let in at all; what they may see or do there is the API's decision."""

    method: str
    path: str
    roles: frozenset[str]
    answer: Handler


class Pages(list[Page]):
    """The pages of one module, filled by its decorators."""

    def get(self, path: str, roles: frozenset[str] = EVERYBODY) -> Callable[[Handler], Handler]:
        """A page, or a part of one that htmx asks for."""
        return self._taken("GET", path, roles)

    def post(self, path: str, roles: frozenset[str] = EVERYBODY) -> Callable[[Handler], Handler]:
        """What a form does. The session's token against forged requests has been checked before."""
        return self._taken("POST", path, roles)

    def _taken(self, method: str, path: str, roles: frozenset[str]) -> Callable[[Handler], Handler]:
        def take(handler: Handler) -> Handler:
            self.append(Page(method, path, roles, handler))
            return handler

        return take
