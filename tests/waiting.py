"""How long tests wait: all limits are for a machine like ours and grow with SCRIP_TEST_SLOWNESS."""

import os
from collections.abc import Callable
from threading import Thread
from time import monotonic, sleep

# 2 for a machine half as fast, or as busy. It is read once: the processes that a test starts do not need it.
SLOWNESS = float(os.environ.get("SCRIP_TEST_SLOWNESS") or 1)


def patient(seconds: float) -> float:
    """A limit of a wait, in seconds, as long as it must be on this machine."""
    return seconds * SLOWNESS


ENOUGH_S = patient(60)  # for what takes a moment: a wait that is longer is a fault


def joined(*threads: Thread) -> None:
    """Wait until threads have ended; fails the test, by their names, if they do not."""
    deadline = monotonic() + ENOUGH_S
    for thread in threads:
        thread.join(max(deadline - monotonic(), 0))
    assert not [thread.name for thread in threads if thread.is_alive()]


def wait_until(condition: Callable[[], bool], deadline_s: float, what: str, *, poll_s: float = 0.05) -> None:
    """Poll until the condition holds; fails the test at the deadline, which grows with the machine's slowness."""
    end = monotonic() + patient(deadline_s)
    while not condition():
        assert monotonic() < end, f"not within {patient(deadline_s):g} s: {what}"
        sleep(poll_s)
