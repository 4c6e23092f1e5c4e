"""The writing side of a connection: an answer that nobody reads is not kept for long, and none is made behind it."""

from asyncio import TimerHandle, Transport
from collections import deque
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.crowd import Crowd, Guest

UNREAD_S = 30.0  # for each further STEP of an answer to be read
STEP = 65_536  # bytes
MAX_WAITING = 16  # requests that wait for the one before; nothing is read while there are more


class Answering(HttpToolsProtocol):
    """Sends answers, and ends the connection of who does not read them.

    While a caller has more than the transport's mark (64 KiB) to read, their next request does not start and nothing
    more is read from them.
    """

    def __init__(self, *given: Any, crowd: Crowd | None = None, guest: Guest | None = None, **named: Any) -> None:
        super().__init__(*given, **named)
        self.crowd = crowd or Crowd(0, 0, 2**63)
        self.guest = guest or Guest("")
        self._running: RequestResponseCycle | None = None
        self._unread = 0  # bytes, when it was looked at last
        self._unread_timer: TimerHandle | None = None
        self._gave_way = False
        self._holds: deque[int] = deque()  # bytes of the requests that are not answered yet
        self._since = self.loop.time()  # when the last request was answered
        self.rest = b""  # has arrived, and is not read: enough requests wait
        self._going_on = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self.flow = Flow(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and let go of all that leads back here.

        What is left in a ring stays in memory until the next full collection, ten minutes later (`infra/tuning.py`).
        """
        self._look_no_more()
        self.crowd.leave(self.guest, gave_way=self._gave_way)
        super().connection_lost(exc)
        self.flow.leave()  # type: ignore[attr-defined]
        self.cycle = self._running = None  # type: ignore[assignment]

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

    def _go_on(self) -> None:
        raise NotImplementedError

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


class Flow(FlowControl):
    """uvicorn reads on after each answer, however many requests wait already, and not while a first one waits."""

    def __init__(self, connection: Answering) -> None:
        super().__init__(connection.transport)
        self._connection: Answering | None = connection

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
