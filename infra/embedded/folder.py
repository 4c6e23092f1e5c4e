"""The data folder: one owner at a time, and a note for others about what runs in it."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.embedded.errors import DataFolderInUse, ServerUnavailable
from infra.embedded.identity import ProcessIdentity, own_identity

STATE_FILE = "state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What runs in a data folder.

    `addresses` are by name, e.g. `postgres` (a URI with the superuser's password), `kafka` (HOST:PORT)
    and whatever the owner added; `processes` are the owner's children by name.
    """

    owner: ProcessIdentity
    addresses: dict[str, str] = field(default_factory=dict)
    processes: dict[str, ProcessIdentity] = field(default_factory=dict)


def read_running(path: Path) -> Running | None:
    """What the living owner of the folder runs, or None if nobody owns it; for other processes."""
    state = _read_state(path / STATE_FILE)
    return state if state is not None and state.owner.find() is not None else None


def _read_state(file: Path) -> Running | None:
    try:
        raw: dict[str, Any] = json.loads(file.read_text())
        return Running(
            owner=ProcessIdentity(**raw["owner"]),
            addresses=dict(raw["addresses"]),
            processes={name: ProcessIdentity(**identity) for name, identity in raw["processes"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        # No note, or one of another version: it is a convenience, the lock is what protects.
        return None


class DataFolder:
    """The folder's owner: holds its lock until `close` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Create the folder (mode 0700) where needed and take its lock.

        Raises DataFolderInUse if another process has it, ServerUnavailable if it cannot be made.
        """
        self.path = path.absolute()
        self._guard = threading.Lock()
        self._noted = True
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)  # it holds passwords and everybody's balances
            self._lock_fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServerUnavailable(f"The data folder {self.path} cannot be used: {error}.") from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._lock_fd, 20, 0).strip()
            os.close(self._lock_fd)
            raise DataFolderInUse(self.path, int(holder) if holder.isdigit() else None) from None
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, str(os.getpid()).encode(), 0)
        before = _read_state(self.path / STATE_FILE)
        self._running = Running(
            owner=own_identity(),
            # Kept until each server has stopped its own leftover.
            processes=dict(before.processes) if before else {},
        )
        self._write()

    def __enter__(self) -> Self:
        """The folder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def subfolder(self, name: str) -> Path:
        """A folder inside, mode 0700, created where needed."""
        sub = self.path / name
        try:
            sub.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ServerUnavailable(f"The folder {sub} cannot be made: {error}.") from error
        return sub

    def complete(self, new: Path, final: Path) -> None:
        """Give a finished subfolder its name, for good also if the power fails right after."""
        try:
            new.rename(final)
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise ServerUnavailable(f"The folder {final} cannot be made: {error}.") from error

    def process(self, name: str) -> ProcessIdentity | None:
        """The recorded child of that name: ours, or one that an earlier owner may have left."""
        return self._running.processes.get(name)

    def record_process(self, name: str, identity: ProcessIdentity | None) -> None:
        """Note a started child, or with None that it has ended."""
        with self._guard:
            self._running.processes.pop(name, None)
            if identity is not None:
                self._running.processes[name] = identity
            self._note()

    def record_address(self, name: str, address: str | None) -> None:
        """Note where something can be reached, or with None that it no longer can."""
        with self._guard:
            self._running.addresses.pop(name, None)
            if address is not None:
                self._running.addresses[name] = address
            self._note()

    def close(self) -> None:
        """Remove the note and give the folder free; closing twice is allowed."""
        with self._guard:
            if self._lock_fd < 0:
                return
            if not self._running.processes:
                (self.path / STATE_FILE).unlink(missing_ok=True)
            os.ftruncate(self._lock_fd, 0)
            os.close(self._lock_fd)
            self._lock_fd = -1

    def note_again(self) -> None:
        """Write the note if it could not be written when something changed, as on a full disk."""
        if not self._noted:
            with self._guard:
                self._note()

    def _note(self) -> None:
        # It is for others: whoever owns the folder goes on without it.
        try:
            self._write()
            self._noted = True
        except ServerUnavailable:
            self._noted = False

    def _write(self) -> None:
        write_private(self.path / STATE_FILE, json.dumps(asdict(self._running), indent=1))


def keep_private(file: Path, text: str, uid: int | None = None) -> None:
    """`write_private` where the file is not so already: a full disk has no room for the same text again."""
    owner = os.geteuid() if uid is None else uid
    try:
        status = file.stat()
        same = (status.st_mode & 0o777, status.st_uid) == (0o600, owner) and file.read_text() == text
    except (OSError, ValueError):
        same = False
    if not same:
        write_private(file, text, uid)


def write_private(file: Path, text: str, uid: int | None = None) -> None:
    """Write a file of mode 0600, owned by `uid` if given.

    Readers see the old text or the new, also after a power cut. Raises ServerUnavailable.
    """
    new = file.with_name(file.name + ".new")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as stream:
            stream.write(text)
            stream.flush()
            if uid is not None:
                os.fchown(stream.fileno(), uid, -1)
            os.fsync(stream.fileno())
        new.replace(file)
    except OSError as error:
        raise ServerUnavailable(f"The file {file} cannot be written: {error}.") from error
