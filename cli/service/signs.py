"""Signs of life of the service's children: roles send them, servers are asked for an answer. What hangs is noted.

The notes of hangs are files in the data folder, for `scrip doctor`.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from infra.embedded.kafka import broker_answers
from infra.embedded.ports import LOOPBACK

LONGEST_STEP_S = 1.0
EVERY_S = 2.0  # each question costs PostgreSQL a process
ANSWER_S = 5.0
SSL_REQUEST = struct.pack(">ii", 8, 80877103)  # PostgreSQL 15, chapter 55.7: it is answered by one byte
NO_SIGN = 3.0  # limits of those who send signs every second, for a server that must begin something new to answer
SUFFIX = ".hung"


class Silence:
    """For how long nothing was heard.

    Only time in which this process itself ran is counted, at most LONGEST_STEP_S from one look to the next: after the
    machine slept, or this process was stopped or got no processor, everybody has the whole limit again.
    """

    def __init__(self) -> None:
        """It begins with the first look."""
        self._looked: float | None = None
        self._seconds = 0.0

    def look(self, *, heard: bool) -> float:
        """The seconds of silence, now that something was `heard` since the last look, or nothing."""
        now = time.monotonic()
        if heard:
            self._seconds = 0.0
        elif self._looked is not None:
            self._seconds += min(now - self._looked, LONGEST_STEP_S)
        self._looked = now
        return self._seconds


class Pulse:
    """The pipe on which a child sends its signs of life. A pipe, because it needs no room on a disk and no port."""

    def __init__(self) -> None:
        """`given` is the end for the child, to be inherited under the same number."""
        self._heard, self.given = os.pipe()
        os.set_blocking(self._heard, False)
        self.begun = False  # it has sent something

    def handed_over(self) -> None:
        """The child has its end now."""
        os.close(self.given)
        self.given = -1

    def heard(self) -> bool:
        """Whether anything was sent since the last question."""
        try:
            said = os.read(self._heard, 65_536)
        except BlockingIOError:
            return False
        self.begun = self.begun or bool(said)
        return bool(said)

    def close(self) -> None:
        """Hear no more of it; closing twice is allowed."""
        for end in (self._heard, self.given):
            if end >= 0:
                os.close(end)
        self._heard = self.given = -1


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
        return True  # it was turned away, as with too many connections from this address
    finally:
        connection.close()
    return True


class Hung(NamedTuple):
    """A role or server that was ended because it hung: how often, and when last (seconds since 1970)."""

    name: str
    times: int
    last: float


def forget_hangs(run: Path) -> None:
    """Delete the notes of an earlier start. `run`: the folder of that name in the data folder."""
    for note in run.glob(f"*{SUFFIX}"):
        note.unlink(missing_ok=True)


def count_hang(run: Path, name: str) -> None:
    """Note that it hung once more; on a full disk nothing is noted."""
    note = run / f"{name}{SUFFIX}"
    with suppress(OSError), note.open("a") as lines:
        lines.write("hung\n")


def hung(data: Path) -> list[Hung]:
    """What hung since the service in the data folder was started, by name."""
    return [
        Hung(note.stem, note.read_text().count("\n"), note.stat().st_mtime)
        for note in sorted((data / "run").glob(f"*{SUFFIX}"))
    ]
