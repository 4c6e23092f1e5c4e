"""Around every request: an id, security headers, and the count of what was answered."""

import re
from itertools import count
from secrets import token_hex
from time import perf_counter
from traceback import format_exception
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from api.audit_log import DENIED, record
from api.headers import complete, fixed
from api.metrics import Metrics
from api.problems import MEDIA_TYPE, fault

_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ID_NAMES = (b"request-id", b"x-request-id")
_MAX_PROBLEM = 4_096  # bytes of a denial that are looked at for its code


log = structlog.get_logger()


class Edge:
    """Pure ASGI, because a middleware that wraps requests in tasks would cost more than the answer itself."""

    def __init__(self, app: ASGIApp, metrics: Metrics, *, https: bool = False) -> None:
        """`https`: the deployment is reached by HTTPS only."""
        self._app = app
        self._metrics = metrics
        self._headers = fixed(https=https)
        self._prefix = token_hex(6).encode()
        self._count = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request_id = self._request_id(scope)
        bind_contextvars(request_id=request_id.decode())  # in everything that is logged on the way
        status, told = 500, b""
        answered = 0.0
        started = ended = False

        async def answer(message: Message) -> None:
            nonlocal status, told, started, ended, answered
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                answered = perf_counter()  # a stream is answered when it begins
                headers: list[Any] = message["headers"]
                headers += [(name, request_id) for name in _ID_NAMES]
                complete(headers, self._headers)
            else:
                if status in DENIED and not told:
                    told = message.get("body", b"")[:_MAX_PROBLEM]
                ended = not message.get("more_body")
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            # The text of the traceback and no more: a renderer would print local variables, credentials among them.
            traceback = "".join(format_exception(error))
            log.error("a request failed", path=scope["path"], traceback=traceback)
            if not started:
                await _fail(answer)
            elif not ended:
                raise  # too late to tell the caller but by ending the connection
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")
            self._metrics.answered(scope["method"], path, status, (answered or perf_counter()) - began)
            record(scope, status, told)

    def _request_id(self, scope: Scope) -> bytes:
        for name, value in scope["headers"]:
            if name in _ID_NAMES and _GIVEN_ID.fullmatch(value):
                return bytes(value)
        return b"%b-%x" % (self._prefix, next(self._count))


async def _fail(send: Send) -> None:
    body = fault().encoded()
    headers = [(b"content-type", MEDIA_TYPE), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})
