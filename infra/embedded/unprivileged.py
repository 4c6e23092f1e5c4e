"""Programs run to their end, and whom PostgreSQL runs as: it refuses root, so root lends it another user."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from infra.embedded.errors import ServerUnavailable
from infra.embedded.process import last_lines, launched, server_environment


def server_user(data: Path) -> int | None:
    """The uid for the server and its files in `data`, or None when we are not root and it is our own."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return data.stat().st_uid  # as chosen at the first start
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise ServerUnavailable(
        "PostgreSQL refuses to run as root and this machine has no user 'postgres' or 'nobody';"
        " start scrip as an ordinary user."
    )


def run_to_end(uid: int | None, command: Sequence[str], timeout_s: float) -> str:
    """Run a command, as that user if we are root, and return what it printed.

    Raises ServerUnavailable with its last lines if it fails or takes longer than `timeout_s`.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            launched(command, signal.SIGKILL, uid),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env=server_environment(),
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerUnavailable(f"{name} did not run: {error}.") from error
    if done.returncode != 0:
        raise ServerUnavailable(f"{name} failed with status {done.returncode}: {last_lines(done.stdout)}")
    return done.stdout


def give_access(uid: int | None, folder: Path, program: Path) -> None:
    """Make sure user `uid` can write in `folder` (which root owns) and run `program`.

    Normally the launcher's kept capability is enough. Where the kernel has none, the folder is handed
    to the user: root can still use it. Raises ServerUnavailable if that is not enough either.
    """
    if uid is None:
        return
    probe = ["/bin/sh", "-c", 'test -w "$1" && test -x "$2"', "sh", str(folder), str(program)]
    try:
        run_to_end(uid, probe, 30)
        return
    except ServerUnavailable:
        os.chown(folder, uid, -1)
    try:
        run_to_end(uid, probe, 30)
    except ServerUnavailable as error:
        raise ServerUnavailable(
            f"PostgreSQL refuses to run as root, and user {pwd.getpwuid(uid).pw_name} cannot reach {folder}"
            f" or {program}; start scrip as an ordinary user or use folders every user may enter."
        ) from error
