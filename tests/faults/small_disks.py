"""Disks so small that a test can fill them: file systems in memory, mounted for one process and its children only.

Mounting needs CAP_SYS_ADMIN. Root has it; an ordinary user has it in a user namespace of its own, where the kernel
allows that. A loop device or a disk quota would need root as well, a limit on the size of files (RLIMIT_FSIZE) gives
another error (EFBIG), and a preloaded library would need a compiler: so these two ways it is.
"""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

BALLAST = "ballast"

_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000  # <sched.h>
_NO_SUID, _NO_DEVICES, _RECURSIVE, _PRIVATE = 2, 4, 0x4000, 0x40000  # <sys/mount.h>


class CannotMount(Exception):
    """This machine lets us have no disk of our own; the text says why."""


def own_mounts() -> None:
    """Give this process mounts of its own, which end with it and its children. Raises CannotMount.

    To be called before anything has started a thread: the kernel refuses a user namespace to a process with several.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if uid == 0:
        _check(libc.unshare(_NEW_MOUNTS), "root without CAP_SYS_ADMIN, as in a container")
    else:
        _check(libc.unshare(_NEW_MOUNTS | _NEW_USER), "no user namespaces for ordinary users")
        # The same user inside: PostgreSQL refuses to run as root.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _check(libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None), "mounts cannot be made private")


def mount_small(folder: Path, megabytes: int) -> None:
    """Mount a disk of that size on the folder, which is made where needed. Raises CannotMount."""
    folder.mkdir(exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={megabytes}m,mode=0700".encode()
    done = libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", _NO_SUID | _NO_DEVICES, options)
    _check(done, "a file system in memory cannot be mounted")


def free(folder: Path) -> int:
    """Bytes free where the folder is."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def fill(folder: Path, leave: int = 0) -> None:
    """Take the free space of the disk, but for `leave` bytes; to be called again where others make room meanwhile."""
    with (folder / BALLAST).open("ab", buffering=0) as ballast:
        for piece in (1024**2, 4096):
            with suppress(OSError):  # others write, too
                while free(folder) - leave >= piece:
                    ballast.write(bytes(piece))


def make_room(folder: Path) -> None:
    """Take the ballast away."""
    (folder / BALLAST).unlink()


def _check(result: int, what: str) -> None:
    if result != 0:
        raise CannotMount(f"{what}: {os.strerror(ctypes.get_errno())}")
