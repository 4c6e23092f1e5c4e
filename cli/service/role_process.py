"""One role of the service as a child process, started again when it dies or hangs."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from cli.service.signs import Pulse, Silence, count_hang
from infra.embedded.errors import ServerUnavailable
from infra.embedded.folder import DataFolder
from infra.embedded.process import ChildProcess, stop_leftover

# From -20 to 19; five steps are a factor of three in weight, and the one with more weight runs first. Further apart,
# the read models come later than checks gain (`scrip bench lag`, `scrip bench api`). Not ahead where there is one
# processor only: it would starve the database that it waits for.
AHEAD = -10 if (os.cpu_count() or 1) > 1 else 0
BEHIND = 5


def give_place(pid: int, nice: int) -> None:
    """Have a process go ahead (below 0) or give way (above): all its threads, and where Linux schedules by session,
    its session too.

    Best effort: only an administrator's processes may go ahead, a process that has ended will be found dead, and a
    system without sessions goes by threads.
    """
    with suppress(psutil.Error, OSError):
        for thread in psutil.Process(pid).threads():
            os.setpriority(os.PRIO_PROCESS, thread.id, nice)
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


PROGRAM = Path(__file__).resolve().parents[1] / "__main__.py"
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
WAITED_FOR = {"api"}  # roles whose callers wait: on a busy machine they run before the others
STEADY_S = 30.0  # a role that ran this long before it died starts again at once
FIRST_SIGN_S = 120.0  # until a role that starts gives its first sign of life


class RoleProcess:
    """`scrip NAME` on the data folder, with a note (`ready`) that it leaves when it serves."""

    def __init__(self, folder: DataFolder, name: str, hung_after_s: float = 0.0) -> None:
        """Stops what an earlier start of the service may have left; starts nothing yet.

        `hung_after_s`: seconds without a sign of life after which it is ended; 0: it is left alone.
        """
        self.name = name
        self.starts = 0
        self._folder = folder
        self._note = folder.subfolder("run") / f"{name}.ready"
        self._child: ChildProcess | None = None
        self._hung_after_s = hung_after_s
        self._pulse: Pulse | None = None
        self._silence = Silence()
        self._started = 0.0
        self._pause = 0.0
        self._next_start = 0.0
        stop_leftover(folder.process(self._record), signal.SIGTERM)

    @property
    def _record(self) -> str:
        return f"role-{self.name}"

    @property
    def pid(self) -> int | None:
        """The role's process, or None while it does not run."""
        return self._child.identity.pid if self._child and self._child.alive else None

    def start(self) -> None:
        """Start it now. Raises ServerUnavailable."""
        with suppress(OSError):
            self._note.unlink(missing_ok=True)
        self._deaf()
        try:
            self._pulse = pulse = Pulse()
        except OSError as error:  # no file descriptors left
            raise ServerUnavailable(f"The {self.name} cannot be started: {error}.") from error
        child = ChildProcess(
            [
                # By its path: the child works in another folder and need not have Scrip installed.
                *(sys.executable, "-P", str(PROGRAM), self.name),
                *("--data", str(self._folder.path), "--ready", str(self._note), "--pulse", str(pulse.given)),
            ],
            marker=str(self._note),
            log=self._folder.subfolder("logs") / f"{self.name}.log",
            # Everything it does is safe against a crash, and nothing may outlive us.
            death_signal=signal.SIGKILL,
            inherited=(pulse.given,),
        )
        pulse.handed_over()
        give_place(child.identity.pid, AHEAD if self.name in WAITED_FOR else BEHIND)
        self._child = child
        self.starts += 1
        self._started = time.monotonic()
        self._folder.record_process(self._record, child.identity)

    def ready(self) -> dict[str, Any] | None:
        """What it noted once it served (its pid, for the API also its URL); None before.

        Raises ServerUnavailable with its last words if it ended instead.
        """
        child = self._child
        if child is None or not child.alive:
            words = child.last_words(1) if child else "it was not started"
            raise ServerUnavailable(f"The {self.name} does not start: {words}")
        try:
            noted: dict[str, Any] = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return None
        return noted

    def tend(self) -> str | None:
        """End it if it hangs, and start it again if it died, not before its pause is over.

        Returns a sentence about what was found.
        """
        child = self._child
        if child is None:
            if time.monotonic() >= self._next_start:
                try:
                    self.start()
                except ServerUnavailable as error:  # no memory, no process, no room: there may be some later
                    self._wait()
                    return str(error)
            return None
        told = f"the {self.name} has ended and is started again: "
        if child.alive:
            silent = self._silent()
            if silent is None:
                return None
            child.stop()
            count_hang(self._folder.subfolder("run"), self.name)
            told = f"the {self.name} gave no sign of life for {silent:.0f} s; it was ended and is started again: "
        told += child.last_words(1)
        self._wait(steady=time.monotonic() - self._started > STEADY_S)
        self._child = None
        return told

    def _silent(self) -> float | None:
        """For how many seconds it has given no sign of life, where that is too long."""
        if self._pulse is None or not self._hung_after_s:
            return None
        silent = self._silence.look(heard=self._pulse.heard())
        limit = self._hung_after_s if self._pulse.begun else max(FIRST_SIGN_S, self._hung_after_s)
        return silent if silent > limit else None

    def _deaf(self) -> None:
        """Forget the signs of life of the process that was."""
        if self._pulse is not None:
            self._pulse.close()
        self._pulse, self._silence = None, Silence()

    def try_now(self) -> None:
        """Do not wait any longer for the next start: what it lacked may be there again."""
        self._pause = self._next_start = 0.0

    def _wait(self, *, steady: bool = False) -> None:
        self._pause = 0.0 if steady else min(max(self._pause * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._next_start = time.monotonic() + self._pause

    def ask_to_stop(self) -> None:
        """Send the polite signal and return at once, so that several roles can stop side by side."""
        process = self._child.identity.find() if self._child else None
        if process is not None:
            process.send_signal(signal.SIGTERM)

    def stop(self, gentle_s: float) -> None:
        """After `ask_to_stop`: wait for the end, `gentle_s` seconds at most, then force it."""
        child, self._child = self._child, None
        if child is not None:
            # A second SIGTERM might meet a role that has just put its handler away; this one changes nothing.
            child.stop((signal.SIGCONT, gentle_s))
        self._deaf()
        self._folder.record_process(self._record, None)
        self._note.unlink(missing_ok=True)
