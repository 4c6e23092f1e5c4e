"""The door: takes new connections, as many as there is room for, and turns the others away before they cost anything.

uvloop's own server ends for good, without a word, when the process has no file left for a connection (EMFILE) at the
wrong moment. This one waits and goes on.
"""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog

from api.crowd import Crowd, Guest
from api.problems import Problem
from api.whole_answer import whole

AT_ONCE = 64  # connections taken in one turn of the loop, before requests have their turn again
MOST_TURNED_AWAY = 64  # the last ones, which stay open for their answer to be read
FULL_S = 0.2  # pause when the process has no file left
UNSENT = 131_072  # bytes of answers that the system keeps for a connection beyond what its other side has room for
TOLD_EVERY_S = 10.0

_NO_FILE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_GONE = {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR, errno.ECONNRESET}
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)

log = structlog.get_logger()


class Door:
    """Takes connections from `listener` and makes a protocol for each, until it is closed."""

    def __init__(self, listener: socket.socket, crowd: Crowd, protocol: Callable[[Guest], asyncio.Protocol]) -> None:
        self._listener, self._crowd, self._protocol = listener, crowd, protocol
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[object]] = set()
        self._answers: dict[str, bytes] = {}
        self._turned_away: deque[socket.socket] = deque()
        self._told = float("-inf")
        self._later: asyncio.TimerHandle | None = None
        self._open = False

    def open(self) -> None:
        """Begin to take connections."""
        self._listener.setblocking(False)
        if self._listener.family != socket.AF_UNIX:
            # What is set here, accepted connections have too.
            self._listener.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT)
        self._open = True
        self._loop.add_reader(self._listener, self._take)

    def close(self) -> None:
        """Take no more."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listener)
        if self._later is not None:
            self._later.cancel()
        while self._turned_away:
            self._turned_away.popleft().close()

    def _take(self) -> None:
        for _ in range(AT_ONCE):
            try:
                made, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _GONE:
                    continue
                self._pause(error)
                return
            self._enter(made, address[0] if isinstance(address, tuple) else "")

    def _enter(self, made: socket.socket, host: str) -> None:
        try:
            guest = self._crowd.enter(host)
        except Problem as problem:
            self._turn_away(made, problem, host)
            return
        made.setblocking(False)
        task: asyncio.Task[object] = self._loop.create_task(self._connect(made, guest))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _connect(self, made: socket.socket, guest: Guest) -> None:
        protocol: asyncio.Protocol | None = None

        def factory() -> asyncio.Protocol:
            nonlocal protocol
            protocol = self._protocol(guest)
            return protocol

        try:
            await self._loop.connect_accepted_socket(factory, made)
        except (OSError, RuntimeError) as error:
            made.close()
            if protocol is None or getattr(protocol, "transport", None) is None:
                self._crowd.leave(guest, gave_way=False)
            log.warning("a connection could not be taken", error=type(error).__name__)

    def _turn_away(self, made: socket.socket, problem: Problem, host: str) -> None:
        answer = self._answers.get(problem.code)
        if answer is None:
            answer = self._answers[problem.code] = whole(problem, [])
        with suppress(OSError):  # it has gone already
            made.setblocking(False)
            made.send(answer)
            made.shutdown(socket.SHUT_WR)
        # Closed at once, with its request unread, it would be reset, and some clients would not see the answer.
        self._turned_away.append(made)
        if len(self._turned_away) > MOST_TURNED_AWAY:
            self._turned_away.popleft().close()
        self._tell("connections are turned away", reason=problem.code, address=host)

    def _pause(self, error: OSError) -> None:
        """Wait a little: a reader that stays would be called again at once, and nothing else would run."""
        level = "no file is left for a connection" if error.errno in _NO_FILE else "no connection can be taken"
        self._tell(level, error=errno.errorcode.get(error.errno or 0, str(error.errno)))
        self._loop.remove_reader(self._listener)
        self._later = self._loop.call_later(FULL_S, self._go_on)

    def _go_on(self) -> None:
        if self._open:
            self._loop.add_reader(self._listener, self._take)

    def _tell(self, what: str, **facts: str) -> None:
        """Once in a while: a caller must not be able to fill the disk with our log."""
        now = self._loop.time()
        if now - self._told >= TOLD_EVERY_S:
            self._told = now
            log.warning(what, refused=dict(self._crowd.refused), **facts)
