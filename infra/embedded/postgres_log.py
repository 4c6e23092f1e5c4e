"""The log of the embedded PostgreSQL: a process of the server writes it, and it is kept small while that runs."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

from infra.embedded.folder import DataFolder
from infra.embedded.process import ChildProcess
from infra.log_files import LogBounds, log_bounds, move_aside

LOOK_S = 0.5


class PostgresLog:
    """`logs`/postgres.log of a data folder."""

    def __init__(self, folder: DataFolder, data: Path) -> None:
        """`data` is the server's own folder. Nothing is made before `prepare`."""
        self._folder = folder
        self.path = folder.path / "logs" / "postgres.log"
        self._data = data
        self._stopped = threading.Event()

    def prepare(self, uid: int | None) -> list[str]:
        """Let user `uid` write it, and return the settings with which the server does, for its command line."""
        self._folder.subfolder("logs")
        if uid is not None:
            self.path.touch(mode=0o600)
            for path in (self.path.parent, self.path):
                os.chown(path, uid, -1)
        settings = {
            "logging_collector": "on",
            "log_directory": str(self.path.parent),
            "log_filename": self.path.name,
            "log_file_mode": "0600",
            "log_rotation_age": "0",  # only when it is told to
            "log_rotation_size": "0",
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def watch(self, server: ChildProcess) -> None:
        """Keep it small from now on, in a thread of its own, until `stop` or the server's end."""
        self._stopped.clear()
        threading.Thread(target=self._watch, args=(server, log_bounds()), name="postgres-log", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def _watch(self, server: ChildProcess, bounds: LogBounds) -> None:
        while not self._stopped.wait(LOOK_S) and server.alive:
            # A full disk may refuse it: the server goes on with the old file, and it is tried again.
            with suppress(OSError):
                _bound(self.path, self._data, bounds, server)


def _bound(log: Path, data: Path, bounds: LogBounds, server: ChildProcess) -> None:
    """Move a full file aside, and have the server begin a new one as `pg_ctl logrotate` does. Raises OSError."""
    if log.exists() and log.stat().st_size < bounds.file_bytes:
        return
    (data / "logrotate").touch(mode=0o600)  # asks again where a server that stands still has not answered yet
    move_aside(log, bounds.files)
    server.signal(signal.SIGUSR1)
