"""Around every request: an id, security headers, and the count of what was answered."""

import re
from itertools import count
from secrets import token_hex
from time import perf_counter
from traceback import format_exception
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.problems import MEDIA_TYPE, fault

_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_DOCS = "/api/docs"
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_PLAIN = [*_HEADERS, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")]
_DEFAULT_CACHE = (b"cache-control", b"no-store")


log = structlog.get_logger()


class Edge:
    """Pure ASGI, because a middleware that wraps requests in tasks would cost more than the answer itself."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._prefix = token_hex(6).encode()
        self._count = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request_id = self._request_id(scope)
        status = 500
        started = complete = False

        async def answer(message: Message) -> None:
            nonlocal status, started, complete
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                headers: list[Any] = message["headers"]
                headers.append((b"x-request-id", request_id))
                headers += _HEADERS if scope["path"] == _DOCS else _PLAIN
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append(_DEFAULT_CACHE)
            elif not message.get("more_body"):
                complete = True
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            # The text of the traceback and no more: a renderer would print local variables, credentials among them.
            log.error("a request failed", path=scope["path"], traceback="".join(format_exception(error)))
            if not started:
                await _fail(answer)
            elif not complete:
                raise  # too late to tell the caller but by ending the connection
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")
            self._metrics.answered(scope["method"], path, status, perf_counter() - began)

    def _request_id(self, scope: Scope) -> bytes:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _GIVEN_ID.fullmatch(value):
                return bytes(value)
        return b"%b-%x" % (self._prefix, next(self._count))


async def _fail(send: Send) -> None:
    body = fault().encoded()
    headers = [(b"content-type", MEDIA_TYPE), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
