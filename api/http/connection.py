"""One connection of HTTP: requests that arrive slowly, answers that are not read, and the bytes in between."""

from asyncio import TimerHandle, Transport
from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.http.edge import ALWAYS, Header, complete
from api.http.limits import Crowd, Guest, Kind
from api.http.problems import MEDIA_TYPE, Problem, overloaded


def whole(problem: Problem, given: list[Header]) -> bytes:
    """The answer with the headers `given`, after which the connection is closed."""
    body = problem.encoded()
    headers: list[Header] = [
        *given,
        (b"content-type", MEDIA_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
    complete(headers, ALWAYS)
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"%b%b\r\n%b" % (STATUS_LINE[problem.status], lines, body)


UNREAD_S = 30.0  # for each further STEP of an answer to be read
STEP = 65_536  # bytes
MAX_WAITING = 16  # requests that wait for the one before; nothing is read while there are more
HEAD_S = 10.0
BODY_S = 15.0  # for the body, or for each further stretch of it
MAX_HEAD = 32_768  # bytes: the target and the headers; also of trailers
MAX_HEADERS = 128  # each costs far more than its bytes
STRETCH = 65_536  # bytes of a body for which its time is given once more
PIECE = 4_096  # bytes that are read before it is looked at whether that is enough
FREE_PARTS, SMALL_PART = 1_024, 4  # a body may come in so many parts, and in one more for each so many bytes
COST = 4_096  # bytes that a request takes besides its own

_VERSIONS = ("1.1", "1.0")
_SPECIAL = frozenset({b"expect", b"transfer-encoding"})
_UPGRADING = frozenset({b"upgrade", b"http2-settings"})


class Part(Enum):
    """The parts of a request that have a time to come in."""

    HEAD = 1
    BODY = 2


_HEAD, _BODY = Part.HEAD, Part.BODY  # to ask an Enum for its member costs as much as a call


class Connection(HttpToolsProtocol):
    """A connection to a client, for uvicorn's `http` setting.

    It gives up a request that does not come or cannot be read, and ends the connection of a client who does not read
    the answers. While a client has more than the transport's mark (64 KiB) to read, their next request does not start
    and nothing more is read from them.
    """

    def __init__(self, *given: Any, crowd: Crowd | None = None, guest: Guest | None = None, **named: Any) -> None:
        super().__init__(*given, **named)
        self.crowd = crowd or Crowd(0, 0, 2**63)
        self.guest = guest or Guest("")
        self.parser = HttpRequestParser(self)  # without uvicorn's leniency for bytes after `Connection: close`
        # Of answers:
        self._running: RequestResponseCycle | None = None
        self._unread = 0  # bytes, when it was looked at last
        self._unread_timer: TimerHandle | None = None
        self._gave_way = False
        self._since = self.loop.time()  # when the last request was answered
        # Of requests:
        self._holds: deque[int] = deque()  # bytes of those that are not answered yet
        self.rest = b""  # has arrived, and is not read: enough requests wait
        self._going_on = False
        self._problem: Problem | None = None
        self._refused = False
        self._read: tuple[RequestResponseCycle, Any] | None = None  # starts when all that arrived with it is read
        self._coming: Part | None = None  # what has begun to come and is not complete
        self._moved = False  # whether its time starts now
        self._late: TimerHandle | None = None
        self._bare = 0  # bytes that arrived since, and brought nothing: the inside of a head or of trailers
        self._stretch = 0  # bytes of the body since its time was started
        self._reading = False
        self._parts = self._size = 0  # of the body
        self._raw = 0  # bytes that are kept and are no request yet
        self._new = 0  # bytes of requests that are not counted yet

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin, with the time that an idle connection has."""
        super().connection_made(transport)
        self.flow = Flow(self)
        self._idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request that runs: uvicorn ends the last one that was read, which may wait behind it.

        Let go of all that leads back here: what is left in a ring stays in memory until the next full collection, ten
        minutes later (`infra/tuning.py`).
        """
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
        self._look_no_more()
        self.crowd.leave(self.guest, gave_way=self._gave_way)
        super().connection_lost(exc)
        self.flow.leave()  # type: ignore[attr-defined]
        self.cycle = self._running = None  # type: ignore[assignment]
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

    def give_way(self) -> None:
        """Close, at once: the place is needed."""
        self._gave_way = True
        self.transport.abort()

    def pause_writing(self) -> None:
        """By the transport: there is more to be read than it likes to keep."""
        super().pause_writing()
        self.flow.pause_reading()
        if not self._look_later():
            self.crowd.refused["unread"] += 1
            self.transport.abort()

    def resume_writing(self) -> None:
        """By the transport: nearly all has been read."""
        super().resume_writing()
        self._look_no_more()
        if self.transport.is_closing():
            self._look_later()
            return
        if self.pipeline and not self._runs:
            self._start_asgi_task(*self.pipeline.pop())
        self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """By uvicorn, when an answer is made: what cannot be sent yet has its time, also where it is the last one."""
        if self._holds:
            self.crowd.hold(self.guest, -self._holds.popleft())
        self._since = self.loop.time()
        super().on_response_complete()
        if self._unread_timer is None and self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._look_later()

    def timeout_keep_alive_handler(self) -> None:
        """By the loop, when nothing has been sent to us for long. Who still reads an answer may read it to its end."""
        if self._unread_timer is None and self.transport.get_write_buffer_size():
            self._look_later()
        self.transport.close()

    def go_on(self) -> None:
        """Read what has arrived already, soon."""
        if not self._going_on:
            self._going_on = True
            self.loop.call_soon(self._go_on)

    @property
    def _runs(self) -> bool:
        """Whether a request is being answered."""
        return self._running is not None and not self._running.response_complete

    def _look_later(self) -> bool:
        """Whether there is memory for what is not read."""
        self._look_no_more()
        self._unread = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(UNREAD_S, self._look)
        return self.crowd.keep_unread(self.guest, self._unread)

    def _look(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left > max(self._unread - STEP, 0):
            self.crowd.refused["unread"] += 1
            self.transport.abort()
        elif left:
            self._look_later()
        else:
            self._look_no_more()

    def _look_no_more(self) -> None:
        self.crowd.keep_unread(self.guest, -self._unread)
        self._unread = 0
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _expect(self, part: Part | None) -> None:
        """Note what comes next; None where nothing has begun."""
        self._coming, self._moved = part, True
        self._bare = self._stretch = 0

    def _watch(self) -> None:
        """Start the time of what has begun to come."""
        self._moved = False
        self._unset_late()
        if self._coming is not None:
            self._since = self.loop.time()
            seconds = HEAD_S if self._coming is Part.HEAD else BODY_S
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
        self.rest = b""
        self._refused = True
        self._unset_late()
        self.pipeline.clear()
        if self._coming is Part.BODY and self.cycle.response_complete:
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
        self.transport.write(whole(problem, self.server_state.default_headers))
        self.transport.close()


class Flow(FlowControl):
    """uvicorn reads on after each answer, however many requests wait already, and not while a first one waits."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.transport)
        self._connection: Connection | None = connection

    def leave(self) -> None:
        """The connection has ended."""
        self._connection = None

    def resume_reading(self) -> None:
        """Read on, unless enough has been read, or too little of what was answered."""
        connection = self._connection
        if not self.read_paused or connection is None or len(connection.pipeline) > MAX_WAITING or self.write_paused:
            return
        if connection.rest:
            connection.go_on()
        else:
            super().resume_reading()


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
