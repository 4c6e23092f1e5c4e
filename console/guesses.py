"""Slows whoever guesses their way in: after some failures a minute an address waits. What is good passes anyway."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import Response

from console.headers import protect

Endpoint = Callable[[Request], Awaitable[Response]]


class FailedLogins(Protocol):
    """infra.security.rates.FailedLogins: counts by address; `wait_s` is 0 for one that may try."""

    def wait_s(self, address: str) -> int: ...
    def failed(self, address: str) -> None: ...


class Guesses:
    """`counts`: None where nothing is limited."""

    def __init__(self, counts: FailedLogins | None, templates: Environment) -> None:
        self._counts = counts
        self._templates = templates

    def failed(self, request: Request) -> Response | None:
        """Count a failure; the answer (429) where there were too many before."""
        if self._counts is None:
            return None
        address = request.client.host if request.client else ""
        wait_s = self._counts.wait_s(address)
        if not wait_s:
            self._counts.failed(address)
            return None
        html = self._templates.get_template("problem_bare.html").render(
            title=HTTPStatus.TOO_MANY_REQUESTS.phrase,
            detail=f"Too many sign-ins from this address failed. Try again in {wait_s} seconds.",
        )
        answer = Response(html, HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(wait_s)}, "text/html")
        return protect(answer)

    def slowed(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint of a sign-in, whose refusals (403) count."""

        async def answer(request: Request) -> Response:
            given = await endpoint(request)
            if given.status_code != HTTPStatus.FORBIDDEN:
                return given
            return self.failed(request) or given

        return answer
