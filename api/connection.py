"""One client's connection: bytes to requests, and nothing runs that was not read as its sender meant it.

uvicorn's protocol on llhttp, the strictest of its parsers (docs/decisions/0015-*.md), with rules of ours:

- An offer to upgrade (`Upgrade: h2c`, which Java's HttpClient and `curl --http2` send) is declined, as RFC 9110 allows.
  httptools ends such a request at its head, and its body was lost.
- What arrives together is read to its end before a request of it starts: a request with bytes behind it that are no
  request has lost a part of its body, so it does not run.
- Trailers are dropped. uvicorn adds them to the request's headers, where `Authorization` would be a login.
- A transfer coding that is not plain `chunked`, and a version other than 1.0 and 1.1, are refused.
- A head has a size, and what has begun to come has its time. Of requests that wait for another, few are read ahead.
"""

from asyncio import TimerHandle, Transport
from enum import Enum
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl, service_unavailable
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.headers import ALWAYS, Header, complete
from api.problems import MEDIA_TYPE, Problem, overloaded

MAX_HEAD = 32_768  # bytes: the target and the headers; also of trailers
HEAD_S = 10.0
BODY_S = 15.0  # for the body, or for each further STRETCH of it
STRETCH = 65_536  # bytes
MAX_WAITING = 16  # requests that wait for the one before; nothing is read while there are more

_VERSIONS = ("1.1", "1.0")
_UPGRADING = frozenset({b"upgrade", b"http2-settings"})
_SPECIAL = frozenset({b"expect", b"transfer-encoding"})


class _Part(Enum):
    """The parts of a request that have a time to come in."""

    HEAD = 1
    BODY = 2


class Connection(HttpToolsProtocol):
    """A connection to a client, for uvicorn's `http` setting."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.parser = HttpRequestParser(self)  # without uvicorn's leniency for bytes after `Connection: close`
        self._reading = False
        self._read: tuple[RequestResponseCycle, Any] | None = None  # starts when all that arrived with it is read
        self._running: RequestResponseCycle | None = None
        self._problem: Problem | None = None
        self._refused = False
        self._coming: _Part | None = None  # what has begun to come and is not complete
        self._moved = False  # whether its time starts now
        self._late: TimerHandle | None = None
        self._bare = 0  # bytes that arrived since, and brought nothing: the inside of a head or of trailers
        self._stretch = 0  # bytes of the body since its time was started

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin, with the time that an idle connection has."""
        super().connection_made(transport)
        self.flow = _Flow(self)
        self._idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request that runs: uvicorn ends the last one that was read, which may wait behind it."""
        self.pipeline.clear()
        self._unset_late()
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Read what has arrived, then start the request that it holds, if none runs yet."""
        if self._refused:
            return
        self._unset_keepalive_if_required()
        self._reading = True
        self._bare += len(data)
        try:
            self._feed(data)
            if self._bare > MAX_HEAD:
                self._say(_head_too_large())
        except HttpParserError:
            self._refuse()
            return
        finally:
            self._reading = False
        if self._moved:
            self._watch()
        if self._read is not None:
            (cycle, app), self._read = self._read, None
            self._start_asgi_task(cycle, app)
        elif self._coming is None and (self._running is None or self._running.response_complete):
            self._idle()  # what came was the rest of a request that is answered already

    def on_message_begin(self) -> None:
        """Begin a request; the parser calls it."""
        super().on_message_begin()
        self._expect(_Part.HEAD)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; the parser calls it."""
        super().on_body(body)
        self._bare = 0
        self._stretch += len(body)
        if self._stretch > STRETCH:
            self._expect(_Part.BODY)

    def on_message_complete(self) -> None:
        """End a request; the parser calls it."""
        super().on_message_complete()
        self._expect(None)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, or a trailer; the parser calls it."""
        name, value = name.lower(), value.rstrip(b" \t")  # spaces behind a value are no part of it
        if name in _SPECIAL:
            if name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"
            elif value.lower() != b"chunked":
                self._say(Problem(501, "unsupported_transfer_encoding", "The only transfer coding here is chunked."))
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Make the request; the parser calls it."""
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD:
            self._say(_head_too_large())
        super().on_headers_complete()
        if self.parser.should_upgrade():
            return
        if self.scope["http_version"] != "1.1":
            self._check_old()
        self.headers = []  # for trailers, which are not the request's headers
        self._expect(_Part.BODY)
        self.flow.resume_reading()  # uvicorn stops at the first that must wait, and does not see the client go

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
        self.cycle.waiting_for_100_continue = False

    def _expect(self, part: _Part | None) -> None:
        """Note what comes next; None where nothing has begun."""
        self._coming, self._moved = part, True
        self._bare = self._stretch = 0

    def _watch(self) -> None:
        """Start the time of what has begun to come."""
        self._moved = False
        self._unset_late()
        if self._coming is not None:
            seconds = HEAD_S if self._coming is _Part.HEAD else BODY_S
            self._late = self.loop.call_later(seconds, self._end_late)

    def _unset_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end_late(self) -> None:
        if self.transport.is_closing() or self._refused:
            return
        if self.flow.read_paused or self.pipeline:  # it is we who keep it waiting
            self._watch()
            return
        self._problem = Problem(408, "request_timeout", "The request did not come to its end in time.")
        self._refuse()

    def _idle(self) -> None:
        """Start the time of a connection on which nothing happens."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _say(self, problem: Problem) -> None:
        """End the reading with this problem."""
        self._problem = problem
        raise HttpParserError

    def _refuse(self) -> None:
        """Answer what cannot be read, and close. A request that was read whole before is answered first."""
        problem = self._problem or Problem(400, "malformed_request", "This is not a request of HTTP/1.1.")
        self.logger.warning("A request could not be read: %s", problem.detail)
        self._read = None
        self._refused = True
        self._unset_late()
        self.pipeline.clear()
        if self._coming is _Part.BODY and self.cycle.response_complete:
            self.transport.close()  # it is the rest of a request that has its answer
            return
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
        self.transport.write(_whole(problem, self.server_state.default_headers))
        self.transport.close()


class _Flow(FlowControl):
    """uvicorn reads on after each answer, however many requests wait already, and not while a first one waits."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.transport)
        self._connection = connection

    def resume_reading(self) -> None:
        """Read on, unless enough has been read."""
        if len(self._connection.pipeline) <= MAX_WAITING:
            super().resume_reading()


def _head_too_large() -> Problem:
    detail = f"The target and the headers are larger than {MAX_HEAD} bytes."
    return Problem(431, "head_too_large", detail, limit=MAX_HEAD)


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
