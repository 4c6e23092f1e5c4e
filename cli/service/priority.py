"""Who goes first on a busy machine: what somebody waits for, before what only has to be done."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

# From -20 to 19; five steps are a factor of three in weight, and whoever has more weight begins at once. Further apart,
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
