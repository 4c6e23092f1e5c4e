"""The reading side of a connection: what has begun to come has its seconds, and what cannot be read its answer."""

from asyncio import TimerHandle
from enum import Enum
from typing import Any

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.problems import Problem
from api.unread import Answering
from api.whole_answer import whole

HEAD_S = 10.0
BODY_S = 15.0  # for the body, or for each further stretch of it


class Part(Enum):
    """The parts of a request that have a time to come in."""

    HEAD = 1
    BODY = 2


class Arriving(Answering):
    """Knows what is coming, and gives up what does not come or cannot be read."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._problem: Problem | None = None
        self._refused = False
        self._read: tuple[RequestResponseCycle, Any] | None = None  # starts when all that arrived with it is read
        self._coming: Part | None = None  # what has begun to come and is not complete
        self._moved = False  # whether its time starts now
        self._late: TimerHandle | None = None
        self._bare = 0  # bytes that arrived since, and brought nothing: the inside of a head or of trailers
        self._stretch = 0  # bytes of the body since its time was started

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
