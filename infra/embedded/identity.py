"""Recognising a process again, also from another process and after a crash."""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass

import psutil

from infra.embedded.errors import ServerUnavailable

# The machine's clock may be corrected a little between recording a start and comparing it.
SAME_START_S = 2.0
BECOMING_S = 0.2  # at most; a process without a command line is one of the kernel's


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """A process that cannot be mistaken for a later one with the same pid.

    `created_s` is its start in seconds since 1970, `marker` a part of its command line (a path in the
    data folder) that no unrelated process has; empty: any command line.
    """

    pid: int
    created_s: float
    marker: str = ""

    def find(self) -> psutil.Process | None:
        """The living process with this identity, or None if it ended or the pid now is another's."""
        try:
            process = psutil.Process(self.pid)
            same_start = abs(process.create_time() - self.created_s) < SAME_START_S
            same_command = not self.marker or any(self.marker in part for part in _command_line(process))
            alive = process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return process if same_start and same_command and alive else None


def _command_line(process: psutil.Process) -> list[str]:
    """What the process was started as. For a moment, while it becomes another program, it has none."""
    until = time.monotonic() + BECOMING_S
    while not (parts := process.cmdline()) and time.monotonic() < until:
        time.sleep(0.002)
    return parts


def own_identity() -> ProcessIdentity:
    """This process."""
    process = psutil.Process()
    return ProcessIdentity(pid=process.pid, created_s=process.create_time())


def stop_leftover(identity: ProcessIdentity | None, gentle: signal.Signals, deadline_s: float = 10.0) -> bool:
    """Stop what an earlier owner left running, by force after the deadline; False if there was nothing to stop."""
    process = identity.find() if identity else None
    if identity is None or process is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        try:
            process.send_signal(gentle)
            process.wait(deadline_s)
        except psutil.TimeoutExpired:
            process.kill()
            try:
                process.wait(deadline_s)
            except psutil.TimeoutExpired as error:
                raise ServerUnavailable(
                    f"Process {identity.pid}, left by an earlier start, cannot be killed."
                ) from error
    return True
