"""Serves the application with uvicorn on one port, with a limit on connections."""

import asyncio
import errno
import resource
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
import uvicorn
from fastapi import FastAPI

from api.http.connection import Connection, whole
from api.http.limits import Crowd, Guest
from api.http.problems import Problem
from infra.settings import Settings
from infra.tuning import give_memory_back, trim

AT_ONCE = 64  # connections taken in one turn of the loop, before requests have their turn again
MOST_TURNED_AWAY = 64  # the last ones, which stay open for their answer to be read
FULL_S = 0.2  # pause when the process has no file left
UNSENT = 131_072  # bytes of answers that the system keeps for a connection beyond what its other side has room for
LOG_EVERY_S = 10.0

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
        self._logged = float("-inf")
        self._later: asyncio.TimerHandle | None = None
        self._open = False

    def open(self) -> None:
        """Begin to take connections."""
        self._listener.setblocking(False)
        if self._listener.family != socket.AF_UNIX:
            # What is set here, accepted connections have too.
            self._listener.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT)
            # An answer's head and body are two writes. asyncio's own loop, unlike uvloop, leaves the body of a socket
            # that it did not make waiting for the acknowledgement of the head: 40 ms.
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
        self._log("connections are turned away", reason=problem.code, address=host)

    def _pause(self, error: OSError) -> None:
        """Wait a little: a reader that stays would be called again at once, and nothing else would run."""
        level = "no file is left for a connection" if error.errno in _NO_FILE else "no connection can be taken"
        self._log(level, error=errno.errorcode.get(error.errno or 0, str(error.errno)))
        self._loop.remove_reader(self._listener)
        self._later = self._loop.call_later(FULL_S, self._go_on)

    def _go_on(self) -> None:
        if self._open:
            self._loop.add_reader(self._listener, self._take)

    def _log(self, what: str, **facts: str) -> None:
        """Once in a while: a caller must not be able to fill the disk with our log."""
        now = self._loop.time()
        if now - self._logged >= LOG_EVERY_S:
            self._logged = now
            log.warning(what, refused=dict(self._crowd.refused), **facts)


KEEP_ALIVE_S = 75
DRAIN_S = 10
BACKLOG = 2_048
OWN_FILES = 1_024  # open files that are no connections of callers
MB = 1_048_576
MUCH = 4 * MB  # what was kept for callers at once, after which the heap is trimmed when it is gone
TRIM_EVERY = 50  # ticks of 0.1 s


class PortTaken(Exception):
    """Another program listens on the port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"Port {port} on {host} is in use by another program.")
        self.port = port


def listen(settings: Settings) -> socket.socket:
    """A listening socket on the settings' address; port 0 takes a free one. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)  # of two processes that bound the port, the later one fails here
    except OSError as error:
        listener.close()
        raise PortTaken(settings.host, settings.port) from error
    listener.set_inheritable(False)
    return listener


async def serve(
    app: FastAPI,
    settings: Settings,
    on_ready: Callable[[str, int], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`, then finish the requests that run. `on_ready` gets the host and the port.

    Raises PortTaken; whatever the application's start raises.
    """
    give_memory_back()
    listener = listen(settings)
    crowd = crowd_of(settings)
    app.state.services.metrics.crowd = crowd
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nothing is decided from the caller's network address
        server_header=False,
        date_header=True,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        lifespan="off",  # started below, so that what fails there is raised here and not only logged
    )
    ready = lambda: on_ready and on_ready(*listener.getsockname()[:2])  # noqa: E731 - of this call's arguments
    server = _Server(config, listener, crowd, ready, app.state.services.live.close)
    stopping = asyncio.create_task(_stop(server, stop)) if stop is not None else None
    try:
        async with app.router.lifespan_context(app):
            await server.serve(sockets=[])
    finally:
        if stopping is not None:
            stopping.cancel()
        listener.close()


def crowd_of(settings: Settings) -> Crowd:
    """The limits of connections and of their memory, once the process may have so many open."""
    files = allow_open_files(settings.connections + OWN_FILES)
    most = min(settings.connections, max(files - OWN_FILES, files // 2))
    if most < settings.connections:
        log.warning("fewer connections than set: the limit on open files is low", connections=most, open_files=files)
    of_one = 0 if settings.trusted_proxy else settings.connections_per_address
    return Crowd(most, of_one, settings.request_memory_mb * MB)


class _Server(uvicorn.Server):
    """Takes connections by our own door, and ends live streams before it waits for the requests that run."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        crowd: Crowd,
        on_ready: Callable[[], object],
        on_stop: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._listener, self._crowd = listener, crowd
        self._on_ready, self._on_stop = on_ready, on_stop
        self._door: Door | None = None
        self._most_kept = 0  # bytes, since the heap was trimmed last

    async def on_tick(self, counter: int) -> bool:
        """Each 0.1 s: after much has been kept for callers, see that the system gets it back."""
        kept = self._crowd.held + self._crowd.unread
        self._most_kept = max(self._most_kept, kept)
        if counter % TRIM_EVERY == 0 and self._most_kept > MUCH and kept < self._most_kept // 4:
            self._most_kept = kept
            await asyncio.to_thread(trim)
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._crowd.members = self.server_state.connections  # type: ignore[assignment]
            self._door = Door(self._listener, self._crowd, self._connection)
            self._door.open()
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._door is not None:
            self._door.close()
        self._listener.close()
        await self._on_stop()
        await super().shutdown(sockets)

    def _connection(self, guest: Guest) -> Connection:
        loop = asyncio.get_running_loop()
        return Connection(self.config, self.server_state, self.lifespan.state, loop, crowd=self._crowd, guest=guest)


async def _stop(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


def allow_open_files(wanted: int) -> int:
    """Raise the soft limit to `wanted` open files, or as near as the hard limit lets us. Returns what it is then.

    It is never lowered. What is not wanted stays as it is: the limit is inherited by processes that we start.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft
