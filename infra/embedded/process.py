"""Child processes that do not outlive their parent.

On Linux the kernel signals each child when its parent dies, however it dies. Elsewhere a child may
stay behind after a kill -9; the next start finds it by its recorded identity and stops it.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from infra.embedded.errors import ServerUnavailable
from infra.embedded.forks import FORKS
from infra.embedded.identity import ProcessIdentity
from infra.log_files import log_bounds, move_aside


def launched(command: Sequence[str], death_signal: signal.Signals, uid: int | None) -> list[str]:
    """The command, run through the launcher: with a death signal and, if we are root, as user `uid`."""
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py"))]
    return [*launcher, str(os.getpid()), str(int(death_signal)), str(-1 if uid is None else uid), *command]


def server_environment() -> dict[str, str]:
    """Our environment, with messages in English and file names in UTF-8 whatever the user's locale."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def last_lines(text: str, lines: int = 5) -> str:
    """The end of a program's output in one line, for an error sentence."""
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])


def _open_log(log: Path) -> int:
    """The log to append to. Where the disk has no room for it, what is written is lost: the child matters more."""
    try:
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


class ChildProcess:
    """A running child with its log file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        marker: str,
        log: Path,
        death_signal: signal.Signals,
        uid: int | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        """Start `command` (absolute path first), as user `uid` if we are root and it is given.

        `death_signal` is what the child gets when this process ends in any way. `marker` is a part of
        the command line that is only this child's. `inherited`: file descriptors that the child has under the same
        numbers. Raises ServerUnavailable if it cannot be started.
        """
        self._log = log
        try:
            bounds = log_bounds()
            if log.exists() and log.stat().st_size >= bounds.file_bytes:
                move_aside(log, bounds.files)
            log_fd = _open_log(log)
            self._opened = os.fstat(log_fd)
            try:
                self._child = FORKS.start(launched(command, death_signal, uid), log_fd, server_environment(), inherited)
            finally:
                os.close(log_fd)
        except (OSError, RuntimeError, MemoryError) as error:
            raise ServerUnavailable(f"{command[0]} cannot be started: {error}.") from error
        try:
            created_s = psutil.Process(self._child.pid).create_time()
        except psutil.NoSuchProcess:
            created_s = time.time()  # it ended at once; whoever waits for it will see that
        except (psutil.Error, OSError, MemoryError) as error:  # such as no more file descriptors
            self._child.kill()
            self._child.wait()
            raise ServerUnavailable(f"{command[0]} was started and cannot be watched: {error}.") from error
        self.identity = ProcessIdentity(pid=self._child.pid, created_s=created_s, marker=marker)

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._child.poll() is None

    def stop(self, *steps: tuple[signal.Signals, float]) -> None:
        """Send each signal in turn, waiting its seconds, and kill at last; returns when the child has ended."""
        for number, deadline_s in (*steps, (signal.SIGKILL, 30.0)):
            if not self.alive:
                return
            self._child.send_signal(number)
            try:
                self._child.wait(deadline_s)
            except subprocess.TimeoutExpired:
                continue
            return
        raise ServerUnavailable(f"Process {self._child.pid} ({self.identity.marker}) cannot be killed.")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if the child has ended."""
        self._child.send_signal(number)

    def last_words(self, lines: int = 5) -> str:
        """The end of what this child wrote to its log, in one line."""
        try:
            with self._log.open("rb") as file:
                now = os.fstat(file.fileno())
                start = self._opened.st_size if now.st_ino == self._opened.st_ino else 0  # else moved aside since
                file.seek(max(start, now.st_size - 16_384))
                return last_lines(file.read().decode(errors="replace"), lines)
        except OSError as error:
            return f"(its log {self._log} cannot be read: {error})"
