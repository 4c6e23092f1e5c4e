"""One client's connection: bytes to requests, and nothing runs that was not read as its sender meant it.

uvicorn's protocol on llhttp, the strictest of its parsers (docs/decisions/0015-*.md), with four rules of ours:

- An offer to upgrade (`Upgrade: h2c`, which Java's HttpClient and `curl --http2` send) is declined, as RFC 9110 allows.
  httptools ends such a request at its head, and its body was lost.
- What arrives together is read to its end before a request of it starts: a request with bytes behind it that are no
  request has lost a part of its body, so it does not run.
- Trailers are dropped. uvicorn adds them to the request's headers, where `Authorization` would be a login.
- A transfer coding that is not plain `chunked`, and a version other than 1.0 and 1.1, are refused.
"""

from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.headers import ALWAYS, Header, complete
from api.problems import MEDIA_TYPE, Problem, overloaded

_VERSIONS = ("1.1", "1.0")
_UPGRADING = frozenset({b"upgrade", b"http2-settings"})
_SPECIAL = frozenset({b"expect", b"transfer-encoding"})


class Connection(HttpToolsProtocol):
    """A connection to a client, for uvicorn's `http` setting."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.parser = HttpRequestParser(self)  # without uvicorn's leniency for bytes after `Connection: close`
        self._reading = False
        self._read: tuple[RequestResponseCycle, Any] | None = None  # starts when all that arrived with it is read
        self._running: RequestResponseCycle | None = None
        self._problem: Problem | None = None

    def data_received(self, data: bytes) -> None:
        """Read what has arrived, then start the request that it holds, if none runs yet."""
        self._unset_keepalive_if_required()
        self._reading = True
        try:
            self._feed(data)
        except HttpParserError:
            self._refuse()
            return
        finally:
            self._reading = False
        if self._read is not None:
            (cycle, app), self._read = self._read, None
            self._start_asgi_task(cycle, app)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, or a trailer; the parser calls it."""
        name = name.lower()
        if name in _SPECIAL:
            if name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"
            elif value.lower() != b"chunked":
                self._say(Problem(501, "unsupported_transfer_encoding", "The only transfer coding here is chunked."))
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Make the request; the parser calls it."""
        super().on_headers_complete()
        if self.parser.should_upgrade():
            return
        if self.scope["http_version"] != "1.1":
            self._check_old()
        self.headers = []  # for trailers, which are not the request's headers

    def _should_upgrade(self) -> bool:
        """What uvicorn asks before it makes a request of one that offers an upgrade: `_feed` reads it again."""
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._reading:
            self._read = cycle, app
            return
        self._running = cycle
        super()._start_asgi_task(cycle, _overloaded if app is service_unavailable else app)

    def _feed(self, data: bytes) -> None:
        """Raises HttpParserError."""
        rest = memoryview(data)  # not copied for each of many requests that offer an upgrade
        while True:
            try:
                self.parser.feed_data(rest)
            except HttpParserUpgrade as offered:
                head = self._plain_head()
                self.parser = HttpRequestParser(self)
                self.parser.feed_data(head)
                rest = rest[offered.args[0] :]
            else:
                return

    def _plain_head(self) -> bytes:
        """The head that was just read, without its offer to upgrade. Raises HttpParserError."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._problem = Problem(501, "unsupported_method", "This is no proxy.")
            raise HttpParserError
        parts = [b"%b %b HTTP/%b\r\n" % (method, self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                kept = [each for each in value.split(b",") if each.strip().lower() not in _UPGRADING]
                parts.append(b"connection: %b\r\n" % b",".join(kept))
            elif name not in _UPGRADING:
                parts.append(b"%b: %b\r\n" % (name, value))
        return b"".join((*parts, b"\r\n"))

    def _check_old(self) -> None:
        """Raises HttpParserError for what only HTTP/1.1 may do."""
        if self.scope["http_version"] not in _VERSIONS:
            self._say(Problem(505, "http_version_not_supported", "This service speaks HTTP/1.1."))
        if any(name == b"transfer-encoding" for name, _ in self.scope["headers"]):
            self._say(Problem(400, "malformed_request", "HTTP/1.0 has no transfer codings."))

    def _say(self, problem: Problem) -> None:
        """End the reading with this problem."""
        self._problem = problem
        raise HttpParserError

    def _refuse(self) -> None:
        """Answer what cannot be read, and close. A request that was read whole before is answered first."""
        self.logger.warning("Invalid HTTP request received.")
        self._read = None
        self.pipeline.clear()
        running = self._running
        if running is not None and not running.response_complete:
            if not running.more_body and not running.response_started:
                running.keep_alive = False
                self.flow.pause_reading()
                return
            running.disconnected = True  # its own body cannot be read, or its answer is a stream that ends here
            running.message_event.set()
            if running.response_started:
                self.transport.close()
                return
        problem = self._problem or Problem(400, "malformed_request", "This is not a request of HTTP/1.1.")
        self.transport.write(_whole(problem, self.server_state.default_headers))
        self.transport.close()


async def _overloaded(_scope: Any, _receive: Any, send: Any) -> None:
    """In the place of uvicorn's own answer, which is plain text."""
    problem = overloaded()
    body = problem.encoded()
    headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    headers += [(b"content-type", MEDIA_TYPE), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    complete(headers, ALWAYS)
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _whole(problem: Problem, given: list[Header]) -> bytes:
    body = problem.encoded()
    headers: list[Header] = [
        *given,
        (b"content-type", MEDIA_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    complete(headers, ALWAYS)
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"%b%b\r\n%b" % (STATUS_LINE[problem.status], lines, body)
