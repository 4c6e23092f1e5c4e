"""Become another program that dies with its parent: `launch.py PARENT SIGNAL UID COMMAND...`.

Run as a script by `infra.embedded.process`. A program of its own, because the calls below must be made
between fork and exec, where a parent with threads must not run Python code (a lock held by another
thread at the fork stays locked for ever).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# From <linux/prctl.h> and <linux/capability.h>.
PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def give_up_root(libc: ctypes.CDLL, uid: int) -> None:
    """Become user `uid`, but keep root's way through folders that only root may enter.

    PostgreSQL refuses to run as root. Without the kept capability it could reach neither a virtual
    environment nor a data folder below /root, and opening those to all users would be worse.
    Where the kernel grants no ambient capability, the plain user remains.
    """
    # Keeps capabilities through the change of user; and access(2), by which initdb looks for its
    # programs, ignores capabilities without it.
    keeps = libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0
    os.setgroups([])
    os.setresgid(uid_group(uid), uid_group(uid), uid_group(uid))
    os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    wanted = 1 << CAP_DAC_OVERRIDE if keeps else 0
    # effective, permitted, inheritable; then the same three for capabilities above 31
    sets = (ctypes.c_uint32 * 6)(wanted, wanted, wanted, 0, 0, 0)
    if libc.capset(header, sets) == 0 and keeps:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def uid_group(uid: int) -> int:
    """The primary group of a user."""
    import pwd

    return pwd.getpwuid(uid).pw_gid


def main(arguments: list[str]) -> None:
    """Set user and death signal, then replace this process by the command."""
    parent, death_signal, uid = (int(argument) for argument in arguments[:3])
    command = arguments[3:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if uid >= 0 and os.geteuid() == 0:
            give_up_root(libc, uid)
        # After the change of user, which would clear it again.
        libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)  # the parent died before it could be watched
    elif uid >= 0 and os.geteuid() == 0:
        os.setgid(uid_group(uid))
        os.setuid(uid)
    # Python ignores these two; a server that inherits that does not get them.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
