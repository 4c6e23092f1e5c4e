"""An embedded PostgreSQL 18, durable as in production: every commit reaches the disk before it is acknowledged."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from infra.embedded.errors import ServerUnavailable
from infra.embedded.folder import DataFolder
from infra.embedded.identity import stop_leftover
from infra.embedded.ports import LOOPBACK, PortLost, choose_port
from infra.embedded.postgres_data import SUPERUSER, PostgresData, server_program
from infra.embedded.postgres_settings import COMMAND_LINE
from infra.embedded.process import ChildProcess
from infra.log_files import LogBounds, log_bounds, move_aside

# Recovery after a crash replays at most max_wal_size; on a slow disk that takes a while.
START_DEADLINE_S = 180.0
POLL_S = 0.01
NAME = "postgres"
LOOK_S = 0.5  # at the size of the log


class EmbeddedPostgres:
    """PostgreSQL with its data in `folder`/postgres, reachable over 127.0.0.1 with a password only."""

    def __init__(self, folder: DataFolder) -> None:
        """Nothing happens before `start`."""
        self._folder = folder
        self._data = PostgresData(folder)
        self._log = PostgresLog(folder, self._data.path)
        self._child: ChildProcess | None = None
        self._port: int | None = None

    @property
    def uri(self) -> str:
        """The superuser's URI; ServerUnavailable before the first `start`."""
        if self._port is None:
            raise ServerUnavailable("PostgreSQL was not started yet.")
        return f"postgresql://{SUPERUSER}:{self._data.password()}@{LOOPBACK}:{self._port}/postgres"

    @property
    def pid(self) -> int | None:
        """The server's main process, or None if it does not run."""
        child = self._child
        return child.identity.pid if child and child.alive else None

    def start(self, port: int | None = None) -> str:
        """Start on `port` (None: the last one, else a free one) and return `uri` once it accepts logins.

        Raises PortInUse, or ServerUnavailable with the server's last words.
        """
        if self.pid is not None:
            return self.uri
        self._data.claim()
        self._stop_leftovers()
        uid = self._data.prepare()
        self._data.claim()  # one that was only now made
        for attempts_left in (2, 1, 0):
            self._port = choose_port(port, self._port)
            try:
                self._run(self._port, uid)
                break
            except PortLost:
                if port or not attempts_left:
                    raise
        self._folder.record_address(NAME, self.uri)
        return self.uri

    def stop(self) -> None:
        """Stop cleanly: sessions are ended and a checkpoint is written. Nothing happens if it does not run."""
        # Fast shutdown, then immediate: both are safe, the second only makes the next start recover.
        self._end((signal.SIGINT, 20.0), (signal.SIGQUIT, 6.0))

    def kill(self) -> None:
        """Kill -9 the main process and return when its sessions are gone too, as after a crash."""
        self._end()

    def _end(self, *steps: tuple[signal.Signals, float]) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        self._log.stop()
        child.stop(*steps)
        self._data.await_no_sessions()
        self._folder.record_process(NAME, None)
        self._folder.record_address(NAME, None)

    def _stop_leftovers(self) -> None:
        stopped = stop_leftover(self._folder.process(NAME), signal.SIGQUIT)
        owner_note = self._data.path / "postmaster.pid"
        if stopped or owner_note.exists():
            self._data.await_no_sessions()
            # Its pid may linger as a zombie that nobody has collected yet, or be another program's by now: a new
            # server would take either for a living owner. There is none: the folder is ours and nobody works in it.
            owner_note.unlink(missing_ok=True)

    def _run(self, port: int, uid: int | None) -> None:
        logging = self._log.prepare(uid)
        child = ChildProcess(
            [str(server_program("postgres")), "-D", str(self._data.path), "-p", str(port), *COMMAND_LINE, *logging],
            marker=str(self._data.path),
            log=self._log.path,
            # Immediate shutdown: no checkpoint that could outlive us by more than the five seconds allowed.
            death_signal=signal.SIGQUIT,
            uid=uid,
        )
        self._child = child
        self._log.watch(child)
        self._folder.record_process(NAME, child.identity)
        deadline = time.monotonic() + START_DEADLINE_S
        while not self._data.ready(child.identity.pid):
            alive = child.alive
            if alive and time.monotonic() < deadline:
                time.sleep(POLL_S)
                continue
            self._end((signal.SIGQUIT, 6.0))
            said = child.last_words(40)
            last = _cause(said)
            if "Address already in use" in said:
                raise PortLost(f"PostgreSQL cannot listen on port {port}: {last}")
            late = f" within {START_DEADLINE_S:.0f} s" if alive else ""
            raise ServerUnavailable(f"PostgreSQL does not start{late}: {last}")


def _cause(said: str) -> str:
    """What ended the server: five more lines follow it, about what the server did then."""
    lines = said.split(" | ")
    return " | ".join([line for line in lines if "FATAL:" in line or "PANIC:" in line][:2] or lines[-5:])


class PostgresLog:
    """`logs`/postgres.log of a data folder: a process of the server writes it, and it is kept small meanwhile."""

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
