"""Pages as a table: path, method, roles, and the function that answers."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.responses import Response

from console.person import EVERYBODY
from console.visit import Visit

Handler = Callable[[Visit], Awaitable[Response | dict[str, Any]]]


class Page(NamedTuple):
    """`roles`: who may open it; the API decides what they see and do there.

    `template` shows what `answer` returns, unless that is a response. `back`: where an error of the API is shown; empty
    for a page of its own.
    """

    method: str
    path: str
    roles: frozenset[str]
    answer: Handler
    template: str = ""
    back: str = ""


class Pages(list[Page]):
    """The pages of one module, filled by its decorators."""

    def get(self, path: str, roles: frozenset[str] = EVERYBODY, *, template: str = "") -> Callable[[Handler], Handler]:
        """A page, or a part of one that htmx loads."""
        return self._taken("GET", path, roles, template=template)

    def post(self, path: str, roles: frozenset[str] = EVERYBODY, *, back: str = "") -> Callable[[Handler], Handler]:
        """What a form does. The session's token against forged requests has been checked before."""
        return self._taken("POST", path, roles, back=back)

    def _taken(self, method: str, path: str, roles: frozenset[str], **more: str) -> Callable[[Handler], Handler]:
        def take(handler: Handler) -> Handler:
            self.append(Page(method, path, roles, handler, **more))
            return handler

        return take
