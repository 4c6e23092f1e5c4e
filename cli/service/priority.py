"""Who goes first on a busy machine: what somebody waits for, before what only has to be done."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

NICE = 10  # -20 to 19; 10 is a tenth of the weight of 0


def step_back(pid: int, nice: int = NICE) -> None:
    """Have a process give way by `nice`: all of its threads, and where Linux schedules by session, its session too.

    Best effort: a process that has ended will be found dead, and a system without sessions goes by threads.
    """
    with suppress(psutil.Error, OSError):
        for thread in psutil.Process(pid).threads():
            os.setpriority(os.PRIO_PROCESS, thread.id, nice)
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
