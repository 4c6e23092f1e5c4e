"""Run the API in this process: uvicorn on uvloop, one worker, because the writer batches what one process gets."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvicorn
from fastapi import FastAPI

from api.connection import Connection
from infra.settings import Settings

KEEP_ALIVE_S = 75
DRAIN_S = 10
MAX_CONNECTIONS = 10_000
BACKLOG = 2_048


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
        listener.listen(BACKLOG)  # of two that bound the port, the later one is told here
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
    listener = listen(settings)
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
        limit_concurrency=MAX_CONNECTIONS,
        backlog=BACKLOG,
        lifespan="off",  # started below, so that what fails there is raised here and not only logged
    )
    server = _Server(config, lambda: on_ready and on_ready(*listener.getsockname()[:2]), app.state.services.live.close)
    stopping = asyncio.create_task(_stop(server, stop)) if stop is not None else None
    try:
        async with app.router.lifespan_context(app):
            await server.serve(sockets=[listener])
    finally:
        if stopping is not None:
            stopping.cancel()
        listener.close()


class _Server(uvicorn.Server):
    """Tells when requests are taken, and ends live streams before it waits for the requests that run."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], object], on_stop: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._on_stop()
        await super().shutdown(sockets)


async def _stop(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True
