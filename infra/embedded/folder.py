"""The data folder: one owner at a time, and a note for others about what runs in it."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil

from infra.embedded.errors import DataFolderInUse, ServerUnavailable, SharedFiles
from infra.embedded.process import ProcessIdentity, own_identity

STATE_FILE = "state.json"
LOCK_FILE = "lock"
SAME_BOOT_S = 60.0  # how far a corrected clock may move the time of the start, where starts have no id

# Written in place, so a hard link to one of them is a folder that another one's servers would write to.
_NEVER_SHARED = (LOCK_FILE, "postgres/global/pg_control")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_PID_NAMESPACE = Path("/proc/self/ns/pid")


class Mismatch(NamedTuple):
    """Why a note does not count here, to end a sentence about it; `copied`: the folder has come from somewhere else."""

    why: str
    copied: bool


_CONTAINER = Mismatch("was written on another machine or in another container", copied=True)
_COPY = Mismatch("belongs to another folder, of which this one is a copy", copied=True)
_RESTART = Mismatch("is from before the last restart of the machine", copied=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder as one start of one machine sees it.

    A copied folder has a copied note. The processes and addresses in it belong to the original, and a signal or a
    connection would reach the original. After a restart of the machine, and in another container, a process id is
    another process's.

    `lock_inode` is that of the lock file: its owner has it open, so as long as the owner lives, no other file has it.
    What the system does not show is empty.
    """

    device: int
    inode: int
    lock_inode: int
    machine: str
    boot: str
    booted_s: float
    pid_namespace: str

    def mismatch(self, here: Place) -> Mismatch | None:
        """Why a note from this place says nothing about `here`, or None if it does.

        Containers on one machine may share its id, but each has process ids of its own. A restart may give a disk
        another number, so a folder is known by its inodes then.
        """
        same_boot = self.boot == here.boot and (bool(self.boot) or abs(self.booted_s - here.booted_s) < SAME_BOOT_S)
        same_files = (self.inode, self.lock_inode) == (here.inode, here.lock_inode)
        if self.machine != here.machine or (same_boot and self.pid_namespace != here.pid_namespace):
            return _CONTAINER
        if not same_files or (same_boot and self.device != here.device):
            return _COPY
        return None if same_boot else _RESTART


def place_of(folder: Path) -> Place:
    """The place of a folder that has a lock file. Raises OSError."""
    own, lock = folder.stat(), (folder / LOCK_FILE).stat()
    return Place(
        device=own.st_dev,
        inode=own.st_ino,
        lock_inode=lock.st_ino,
        machine=next(filter(None, map(_text_of, _MACHINE_IDS)), ""),
        boot=_text_of(_BOOT_ID),
        booted_s=psutil.boot_time(),
        pid_namespace=_pid_namespace(),
    )


def _text_of(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(_PID_NAMESPACE.readlink())
    except OSError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What runs in a data folder.

    `addresses` are by name, e.g. `postgres` (a URI with the superuser's password), `kafka` (HOST:PORT)
    and whatever the owner added; `processes` are the owner's children by name. None of it means anything
    elsewhere than in `place`.
    """

    place: Place
    owner: ProcessIdentity
    addresses: dict[str, str] = field(default_factory=dict)
    processes: dict[str, ProcessIdentity] = field(default_factory=dict)


def read_running(path: Path) -> Running | None:
    """What the living owner of the folder runs, or None if it has no owner; for other processes.

    Also None for a copy of a folder in use: what its note names is the original's.
    """
    state = _read_state(path / STATE_FILE)
    if state is None or _mismatch(state, path) is not None:
        return None
    return state if state.owner.find() is not None else None


def noted_elsewhere(path: Path) -> Mismatch | None:
    """Why the folder's note says nothing about this folder on this machine; None without a note, or if it does."""
    state = _read_state(path / STATE_FILE)
    return _mismatch(state, path) if state is not None else None


def _mismatch(state: Running, path: Path) -> Mismatch | None:
    try:
        return state.place.mismatch(place_of(path))
    except OSError as error:
        return Mismatch(f"cannot be compared with this folder ({error})", copied=True)


def _read_state(file: Path) -> Running | None:
    try:
        raw: dict[str, Any] = json.loads(file.read_text())
        return Running(
            place=Place(**raw["place"]),
            owner=ProcessIdentity(**raw["owner"]),
            addresses=dict(raw["addresses"]),
            processes={name: ProcessIdentity(**identity) for name, identity in raw["processes"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        # No note, or one of another version: it is a convenience, the lock is what protects.
        return None


class DataFolder:
    """The folder's owner: holds its lock until `close` or the end of the process."""

    def __init__(self, path: Path, notice: Callable[[str], None] | None = None) -> None:
        """Create the folder (mode 0700) where needed and take its lock.

        `notice(sentence)` is called where the folder is a copy, with what that means. Raises DataFolderInUse if another
        process has it, SharedFiles for a copy made of hard links, ServerUnavailable if it cannot be made.
        """
        self.path = path.absolute()
        self._guard = threading.Lock()
        self._noted = True
        self._claims: dict[tuple[int, int], int] = {}
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)  # it holds passwords and all balances
            self._refuse_hard_links()
            self._lock_fd = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
        elsewhere = _mismatch(before, self.path) if before else None
        self._running = Running(
            place=place_of(self.path),
            owner=own_identity(),
            # Kept until each server has stopped its own leftover.
            processes=dict(before.processes) if before and elsewhere is None else {},
        )
        self._write()
        if elsewhere is not None and notice is not None:
            notice(f"The note of running processes in {self.path} {elsewhere.why}: it is ignored, all data is kept.")
            if elsewhere.copied:
                notice("It was copied while it was in use, so the copy may be incomplete: run `scrip verify` on it.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
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

    def claim(self, inner: Path) -> None:
        """Keep other data folders from using `inner`, which lies elsewhere where it is a symbolic link.

        Nothing happens if it does not exist or is claimed already. Raises DataFolderInUse.
        """
        try:
            fd = os.open(inner, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        found = os.fstat(fd)
        key = (found.st_dev, found.st_ino)
        try:
            if key not in self._claims:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise DataFolderInUse(inner, None) from None
        except OSError:  # a network's file system may not lock folders
            os.close(fd)
            return
        if self._claims.setdefault(key, fd) != fd:
            os.close(fd)

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
            while self._claims:
                os.close(self._claims.popitem()[1])

    def _refuse_hard_links(self) -> None:
        for name in _NEVER_SHARED:
            file = self.path / name
            if file.exists() and file.stat().st_nlink > 1:
                raise SharedFiles(self.path, file)

    def note_again(self) -> None:
        """Write the note if it could not be written when something changed, as on a full disk."""
        if not self._noted:
            with self._guard:
                self._note()

    def _note(self) -> None:
        # It is for other processes: the folder's owner goes on without it.
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
