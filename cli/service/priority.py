"""Who goes first on a busy machine: what somebody waits for, before what only has to be done."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

NICE = 10


def step_back(pid: int) -> None:
    """Have a process give way: all of its threads, and where Linux schedules by session, its session too.

    Best effort: a process that has ended will be found dead, and a system without sessions goes by threads.
    """
    with suppress(psutil.Error, OSError):
        for thread in psutil.Process(pid).threads():
            os.setpriority(os.PRIO_PROCESS, thread.id, NICE)
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE))
