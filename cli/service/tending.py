"""A server of the service that is started again whenever it has ended, for as long as that takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from infra.disk import FULL_BELOW, MIB, DiskWatch, room_of
from infra.embedded.folder import DataFolder

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
STEADY_S = 30.0  # a server that ran this long before it ended starts again at once
END_S = 10.0

Notice = Callable[[str], None]


class RoomToldOf:
    """Says once that commands are refused because PostgreSQL's disk has too little room, and once that they go on."""

    def __init__(self, disk: DiskWatch, tell: Notice) -> None:
        self._disk = disk
        self._tell = tell
        self._refused = False

    def tend(self) -> None:
        """Look, at most once a second."""
        if self._disk.full == self._refused:
            return
        self._refused = not self._refused
        if self._refused:
            self._tell(" ".join([*self._disk.issues()[:1], "Make room; commands are accepted by themselves then."]))
        else:
            self._tell("commands are accepted again: there is room on PostgreSQL's disk")


class Server(Protocol):
    """What `EmbeddedPostgres` and `EmbeddedKafka` have in common."""

    @property
    def pid(self) -> int | None:
        """Its process, or None while it does not run."""

    def start(self, port: int | None = None) -> str:
        """Start it and return when it serves. Raises ServerUnavailable."""

    def kill(self) -> None:
        """End it at once."""


class TendedServer:
    """Starts a server again on its port, in a thread of its own: a start may take minutes, and others are tended too.

    A start that fails is repeated after pauses of 0.2 to 5 s, and at once when there is room on a disk that was full.
    It tells once that the server has ended, with the reason where the disk is full, and once that it runs again.
    """

    def __init__(
        self, server: Server, folder: DataFolder, key: str, name: str, address: str, tell: Notice, *,
        needs_room: bool = False,
    ) -> None:  # fmt: skip
        """`key` is the server's name in `folder` and of its data there, `name` is for people, `address` where it is.

        With `needs_room` it is not started while its disk is full: a broker would only end again, and each try takes
        the processor for seconds. PostgreSQL may be able to answer reads.
        """
        self._server = server
        self._folder = folder
        self._key = key
        self._name = name
        self._address = address
        self._port = urlsplit(address if "//" in address else f"//{address}").port
        self._tell = tell
        self._needs_room = needs_room
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._down_since = 0.0  # 0 while it runs
        self._up_since = time.monotonic()
        self._told = ""
        self._pause = 0.0
        self._next_start = 0.0
        self._was_full = False
        self._ending = False

    @property
    def _data(self) -> Path:
        return self._folder.path / self._key

    def tend(self) -> bool:
        """Start it if it has ended; whether it has come up since the last call. Returns at once, raises nothing."""
        if self._thread is not None:
            if self._thread.is_alive():
                return False
            self._thread = None
            return self._started(self._failure)
        if self._server.pid is not None:
            return False
        if not self._down_since:
            self._ended()
        full = self._full()
        if full and not self._was_full:
            self._tell(full)
        room_is_back, self._was_full = self._was_full and not full, bool(full)
        if (full and self._needs_room) or (time.monotonic() < self._next_start and not room_is_back):
            return False
        self._begin()
        return False

    def end(self) -> None:
        """Start it no more, and end a start that is under way."""
        self._ending = True
        if self._thread is not None:
            until = time.monotonic() + END_S
            while self._thread.is_alive() and time.monotonic() < until:
                self._server.kill()  # again: the start may not have come to the process yet
                self._thread.join(0.2)

    def _ended(self) -> None:
        now = time.monotonic()
        steady = now - self._up_since > STEADY_S
        self._pause = 0.0 if steady else min(max(self._pause * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._next_start = now + self._pause
        self._down_since = now
        self._told = ""
        self._was_full = False
        # An end by our own hand takes the address away, as a failed start does. Roles that start meanwhile look for it.
        self._folder.record_address(self._key, self._address)
        self._tell(f"{self._name} has ended; starting it again")

    def _begin(self) -> None:
        self._failure = None
        thread = threading.Thread(target=self._start, name=f"start-{self._key}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread can be started now
            self._started(error)
        else:
            self._thread = thread

    def _start(self) -> None:
        try:
            if not self._ending:
                self._server.start(self._port)
        except Exception as error:  # noqa: BLE001 - whatever it is, the service goes on and tries again
            self._failure = error

    def _started(self, failure: BaseException | None) -> bool:
        now = time.monotonic()
        if failure is None:
            self._tell(f"{self._name} runs again, after {now - self._down_since:.0f} s")
            self._down_since, self._up_since = 0.0, now
            return True
        self._pause = min(max(self._pause * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._next_start = now + self._pause
        self._folder.record_address(self._key, self._address)
        if not self._told and not self._was_full:
            self._told = str(failure) or type(failure).__name__
            self._tell(f"{self._name} does not start and is tried again: {self._told}")
        return False

    def _full(self) -> str:
        """What to tell where the server's disk is full; empty where it is not."""
        room = room_of(self._data, self._key)
        if room is None or room.free >= FULL_BELOW:
            return ""
        return (
            f"{self._name} cannot run, because its disk is full: {room.free // MIB} MB free ({self._data})."
            " Make room; everything goes on by itself then."
        )
