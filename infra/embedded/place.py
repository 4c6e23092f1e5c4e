"""Where the note of a data folder was written: in which folder, on which machine, since which start of it.

A copied folder has a copied note. The processes and addresses in it belong to the original, and a signal or a
connection would reach the original. After a restart of the machine, and in another container, a process id is another
process's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

LOCK_FILE = "lock"
SAME_BOOT_S = 60.0  # how far a corrected clock may move the time of the start, where starts have no id
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

    `lock_inode` is that of the lock file: its owner has it open, so as long as the owner lives, no other file has it.
    What a system does not tell is empty.
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
        machine=next(filter(None, map(_text, _MACHINE_IDS)), ""),
        boot=_text(_BOOT_ID),
        booted_s=psutil.boot_time(),
        pid_namespace=_pid_namespace(),
    )


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(_PID_NAMESPACE.readlink())
    except OSError:
        return ""
