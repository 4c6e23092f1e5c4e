"""Servers that are asked whether they answer, because they send no signs of life by themselves."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from cli.service.signs import Silence
from infra.embedded.kafka_tools import broker_answers
from infra.embedded.ports import LOOPBACK

EVERY_S = 2.0  # each question costs PostgreSQL a process
ANSWER_S = 5.0
SSL_REQUEST = struct.pack(">ii", 8, 80877103)  # of PostgreSQL's protocol: one byte answers it
NO_SIGN = 3.0  # limits of those who send signs every second, for a server that must begin something new to answer


class Asked:
    """A server and its limit. The questions are asked in a thread of its own: one to a server that hangs takes long."""

    def __init__(self, name: str, pid: Callable[[], int | None], ask: Callable[[], bool], limit_s: float) -> None:
        """`pid`: of the server's main process, where it runs; `ask` returns whether it answered, within ANSWER_S."""
        self.name = name
        self._pid = pid
        self._ask = ask
        self._limit_s = limit_s
        self._answers = self._seen = 0
        self._asked_pid: int | None = None
        self._silence: Silence | None = None  # none until it has answered: a start has its own limits
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name=f"asks {name}", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def look(self) -> str | None:
        """Kill it where it has answered and does so no more, and say so; it is then found dead as any other."""
        pid, answers = self._pid(), self._answers
        heard, self._seen = answers != self._seen, answers
        if pid != self._asked_pid:
            self._asked_pid, self._silence = pid, None
        elif heard and self._silence is None:
            self._silence = Silence()
        silent = self._silence.look(heard=heard) if self._silence is not None else 0.0
        if pid is None or silent <= self._limit_s:
            return None
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return f"{self.name} has not answered for {silent:.0f} s; it is ended, to be started again"

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_S):
            if self._ask():
                self._answers += 1


def postgres_answers(port: int) -> bool:
    """Whether a PostgreSQL server says anything there, be it that it is still starting.

    Not with libpq's ping: psycopg keeps the interpreter's lock meanwhile, so that this whole process stands still for
    as long as a server that hangs does not answer.
    """
    try:
        with socket.create_connection((LOOPBACK, port), ANSWER_S) as connection:
            connection.sendall(SSL_REQUEST)
            return connection.recv(1) in (b"S", b"N")
    except OSError:
        return False


def kafka_answers(port: int) -> bool:
    """Whether a broker answers there."""
    return broker_answers(port, ANSWER_S)


def api_answers(port: int) -> bool:
    """Whether something is done about a request there: an answer of any kind, or the end of the connection."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/livez")
        connection.getresponse()
    except (TimeoutError, ConnectionRefusedError):
        return False
    except (OSError, http.client.HTTPException):
        return True  # it was turned away: whoever has too many connections from this address does that
    finally:
        connection.close()
    return True
