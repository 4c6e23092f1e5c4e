"""Free TCP ports on this machine's loopback address."""

from __future__ import annotations

import errno
import socket
from collections import deque
from threading import Lock

from infra.embedded.errors import PortInUse, ServerUnavailable

LOOPBACK = "127.0.0.1"


class PortLost(ServerUnavailable):
    """Another process took a port between our look and the server's bind; another try may help."""


# By this process: two servers that start side by side look for theirs before either binds.
_given: deque[int] = deque(maxlen=1_000)
_one_at_a_time = Lock()


def free_port() -> int:
    """A port that is free now, and none of those given before.

    Another process may still take it: the caller that binds it must be ready to retry.
    """
    with _one_at_a_time:
        while True:
            with socket.socket() as probe:
                probe.bind((LOOPBACK, 0))
                port: int = probe.getsockname()[1]
            if port not in _given:
                _given.append(port)
                return port


def require_free(port: int) -> None:
    """Raise PortInUse if something listens on the port."""
    with socket.socket() as probe:
        # As the servers themselves bind it: connections of an earlier run in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(port) from error
            raise ServerUnavailable(f"Port {port} on {LOOPBACK} cannot be used: {error}.") from error


def choose_port(asked: int | None, last: int | None) -> int:
    """The port asked for (PortInUse if taken), else the last one if it is free, else any free one."""
    if asked:
        require_free(asked)
        return asked
    if last:
        try:
            require_free(last)
        except PortInUse:
            return free_port()
        return last
    return free_port()
