"""A network between a client and PostgreSQL that loses what it is told to lose."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

COMMITTED = b"COMMIT\x00"  # the end of the server's reply to a commit


class Proxy:
    """Forwards TCP connections to the server of `uri`; as a context manager it listens and closes."""

    def __init__(self, uri: str) -> None:
        known = conninfo_to_dict(uri)
        self._server = (str(known["host"]), int(str(known["port"])))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = make_conninfo(uri, port=self._listener.getsockname()[1])
        self._swallow = b""
        self._on_swallowed: Callable[[], None] = lambda: None
        self.swallowed = threading.Event()
        self._sockets: list[socket.socket] = []
        self._refusing = False
        self.breaks = 0

    def lose_reply(self, containing: bytes, then: Callable[[], None] | None = None) -> None:
        """Cut the connection instead of forwarding the next reply with these bytes; `then` is called before that."""
        self.swallowed.clear()
        self._on_swallowed = then or (lambda: None)
        self._swallow = containing

    def refuse(self, refusing: bool = True) -> None:
        """Turn further connections away, or no longer."""
        self._refusing = refusing

    def cut(self) -> None:
        """Break every connection there is."""
        for one in self._sockets:
            _close(one)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            threading.Thread(target=self._forward, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, replies: bool) -> None:
        try:
            while data := source.recv(65_536):
                if replies and self._swallow and self._swallow in data:
                    self._swallow = b""
                    self._on_swallowed()
                    self.swallowed.set()
                    break
                target.sendall(data)
        except OSError:
            self.breaks += 1  # one side is gone; the other is told below
        _close(source)
        _close(target)


def _close(one: socket.socket) -> None:
    with suppress(OSError):  # it may not be connected any more
        one.shutdown(socket.SHUT_RDWR)
    one.close()
