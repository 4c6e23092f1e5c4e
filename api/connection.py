"""One client's connection: bytes to requests, and nothing runs that was not read as its sender meant it.

uvicorn's protocol on llhttp, the strictest of its parsers (docs/decisions/0015-*.md), with rules of ours:

- An offer to upgrade (`Upgrade: h2c`, which Java's HttpClient and `curl --http2` send) is declined, as RFC 9110 allows.
  httptools ends such a request at its head, and its body was lost.
- What arrives together is read to its end before a request of it starts: a request with bytes behind it that are no
  request has lost a part of its body, so it does not run.
- Trailers are dropped. uvicorn adds them to the request's headers, where `Authorization` would be a login.
- A transfer coding that is not plain `chunked`, and a version other than 1.0 and 1.1, are refused.
- A head has a size, and what has begun to come has its time. Of requests that wait for another, few are read ahead.
- What is kept of requests is counted (`api/crowd.py`): where there is no memory for more, the connection ends with 503.
"""

from asyncio import Transport
from collections import deque
from collections.abc import Iterable
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.arriving import Arriving, Part
from api.crowd import Kind
from api.headers import Header
from api.problems import Problem, overloaded
from api.unread import MAX_WAITING

MAX_HEAD = 32_768  # bytes: the target and the headers; also of trailers
MAX_HEADERS = 128  # each costs far more than its bytes
STRETCH = 65_536  # bytes of a body for which its time is given once more
PIECE = 4_096  # bytes that are read before it is looked at whether that is enough
FREE_PARTS, SMALL_PART = 1_024, 4  # a body may come in so many parts, and in one more for each so many bytes
COST = 4_096  # bytes that a request takes besides its own

_HEAD, _BODY = Part.HEAD, Part.BODY  # to ask an Enum for its member costs as much as a call
_VERSIONS = ("1.1", "1.0")
_SPECIAL = frozenset({b"expect", b"transfer-encoding"})
_UPGRADING = frozenset({b"upgrade", b"http2-settings"})


class Connection(Arriving):
    """A connection to a client, for uvicorn's `http` setting."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.parser = HttpRequestParser(self)  # without uvicorn's leniency for bytes after `Connection: close`
        self._reading = False
        self._parts = self._size = 0  # of the body
        self._raw = 0  # bytes that are kept and are no request yet
        self._new = 0  # bytes of requests that are not counted yet

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin, with the time that an idle connection has."""
        super().connection_made(transport)
        self._idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request that runs: uvicorn ends the last one that was read, which may wait behind it."""
        self.pipeline.clear()
        self.rest, self._read = b"", None
        self._unset_late()
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        self.crowd.hold(self.guest, self._new - sum(self._holds) - self._raw)
        self._holds.clear()
        self._raw = self._new = 0
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    @property
    def waiting_since(self) -> float | None:
        """Since when it has waited for a request or the rest of one, by the loop's clock; None while it has one."""
        runs = self._runs and not self._comes  # a slow body must not keep its place
        busy = runs or self.pipeline or self.flow.write_paused or self.transport.is_closing()
        return None if busy else self._since

    @property
    def _comes(self) -> bool:
        """Whether the request that runs still waits for a part of its body, and nothing is answered yet."""
        running = self._running
        return running is not None and running.more_body and not running.response_started

    @property
    def _answered(self) -> int:
        """Bytes of the request that came whole and is being answered."""
        return self._holds[0] if self._holds and self._runs and not self._comes else 0

    def kept(self, kind: Kind) -> int:
        """See `Member` in api/crowd.py."""
        return self._unread if kind == "unread" else sum(self._holds) + self._raw - self._new - self._answered

    def cut(self, kind: Kind) -> None:
        """See `Member` in api/crowd.py. A client whose request is cut gets 503."""
        self.crowd.refused["memory" if kind == "held" else "unread"] += 1
        if kind == "unread":
            self._look_no_more()
            self.transport.abort()
            return
        self.crowd.hold(self.guest, -self.kept("held"))
        self._holds = deque([self._answered] if self._answered else ())
        self._raw = self._new = 0
        if not self._refused and not self.transport.is_closing():
            self._problem = overloaded()
            self._refuse()

    def data_received(self, data: bytes) -> None:
        """Read what has arrived, then start the request that it holds, if none runs yet."""
        if self._refused:
            return
        self._unset_keepalive_if_required()
        if self.rest:  # not every transport stops at once
            self.rest += data
        else:
            self._take(data)

    def _go_on(self) -> None:
        self._going_on = False
        if self.rest and not self._refused:
            rest, self.rest = self.rest, b""
            self._take(rest)
            self.flow.resume_reading()

    def _take(self, data: bytes) -> None:
        self._reading = True
        try:
            if len(data) <= PIECE:
                self._read_piece(data)
            else:
                self._read_pieces(memoryview(data))
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
        elif self._coming is None and not self._runs:
            self._idle()  # what came was the rest of a request that is answered already

    def _read_pieces(self, data: memoryview) -> None:
        """All of it, unless enough requests wait. Raises HttpParserError."""
        begin = 0
        while begin < len(data):
            if len(self.pipeline) > MAX_WAITING:
                self.rest = bytes(data[begin:])
                self._hold()
                return
            self._read_piece(data[begin : begin + PIECE])
            begin += PIECE

    def _read_piece(self, piece: bytes | memoryview) -> None:
        """Raises HttpParserError."""
        self._bare += len(piece)
        self._feed(piece)
        if self._bare > MAX_HEAD:
            self._say(_head_too_large())
        self._hold()

    def _hold(self) -> None:
        """Count what has come, requests or not. Raises HttpParserError where there is no memory for it."""
        raw = len(self.rest)
        if self._coming is not None:
            if len(self.headers) > MAX_HEADERS:
                self._say(_too_many_headers())
            raw += self._bare  # of a head, or of trailers,
            if self._coming is _HEAD or self.headers:
                raw += COST  # and the piece in which they began
        more, self._raw, self._new = self._new + raw - self._raw, raw, 0
        if more and not self.crowd.hold(self.guest, more):
            self.crowd.refused["memory"] += 1
            self._say(overloaded())

    def on_message_begin(self) -> None:
        """Begin a request; the parser calls it."""
        super().on_message_begin()
        self._expect(_HEAD)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; the parser calls it."""
        super().on_body(body)
        size = len(body)
        self._bare = 0
        self._parts += 1
        self._size += size
        if self._parts > FREE_PARTS + self._size // SMALL_PART:
            self._say(Problem(400, "malformed_request", "The body comes in too many small chunks."))
        if self.cycle.response_complete:
            return  # thrown away; it gets no more time
        self._holds[-1] += size
        self._new += size
        self._stretch += size
        if self._stretch > STRETCH:
            self._expect(_BODY)

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
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD:
            self._say(_head_too_large())
        if len(self.headers) > MAX_HEADERS:
            self._say(_too_many_headers())
        super().on_headers_complete()
        if self.parser.should_upgrade():
            return
        size += COST
        self._holds.append(size)
        self._new += size
        self._parts = self._size = 0
        if self.scope["http_version"] != "1.1":
            self._check_old()
        self.headers = []  # for trailers, which are not the request's headers
        self._expect(_BODY)
        self.flow.resume_reading()  # uvicorn stops at the first that must wait, and does not see the client go

    def _should_upgrade(self) -> bool:
        """What uvicorn asks before it makes a request of one that offers an upgrade: `_feed` reads it again."""
        return True

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._reading:
            self._read = cycle, app
            return
        if self.flow.write_paused:  # what was answered is not read yet
            self.pipeline.append((cycle, app))
            return
        self._running = cycle
        if self._coming is not None:
            self._watch()  # the time in which it waited for another is not its sender's
        super()._start_asgi_task(cycle, app)

    def _feed(self, data: bytes | memoryview) -> None:
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
            self._say(Problem(501, "unsupported_method", "This is no proxy."))
        return _declined(method, self.url, self.parser.get_http_version(), self.headers)

    def _check_old(self) -> None:
        """Raises HttpParserError for what only HTTP/1.1 may do."""
        if self.scope["http_version"] not in _VERSIONS:
            self._say(Problem(505, "http_version_not_supported", "This service speaks HTTP/1.1."))
        if any(name == b"transfer-encoding" for name, _ in self.scope["headers"]):
            self._say(Problem(400, "malformed_request", "HTTP/1.0 has no transfer codings."))
        self.cycle.waiting_for_100_continue = False


def _head_too_large() -> Problem:
    detail = f"The target and the headers are larger than {MAX_HEAD} bytes."
    return Problem(431, "head_too_large", detail, limit=MAX_HEAD)


def _too_many_headers() -> Problem:
    return Problem(431, "too_many_headers", f"There are more than {MAX_HEADERS} headers.", limit=MAX_HEADERS)


def _declined(method: bytes, target: bytes, version: str, headers: Iterable[Header]) -> bytes:
    """The head of a request without its offer; the names of `headers` are in lower case."""
    parts = [b"%b %b HTTP/%b\r\n" % (method, target, version.encode())]
    for name, value in headers:
        if name == b"connection":
            kept = [each for each in value.split(b",") if each.strip().lower() not in _UPGRADING]
            parts.append(b"connection: %b\r\n" % b",".join(kept))
        elif name not in _UPGRADING:
            parts.append(b"%b: %b\r\n" % (name, value))
    return b"".join((*parts, b"\r\n"))
