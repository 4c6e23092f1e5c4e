"""Signs of life of a role: a byte every second on a pipe to its supervisor, from the event loop that does its work.

A stopped process, a blocked loop or a loop that has ended sends none. None is sent either while a thread of the role
hangs: `watch` registers a thread, and `still_s` gives how long it has been at its present step.
"""

import asyncio
import logging
import os
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

log = logging.getLogger(__name__)

EVERY_S = 1.0
THREAD_S = 120.0  # longer than a thread that works ever takes for one step, all its statements' limits included


class Worker(Protocol):
    """Something with a thread of its own."""

    def still_s(self) -> float:
        """For how many seconds the thread has been at its present step; 0 where it waits for work."""


_workers: "WeakSet[Worker]" = WeakSet()


def watch(worker: Worker) -> None:
    """Count on a thread from now on, for as long as `worker` exists."""
    _workers.add(worker)


def hangs() -> bool:
    """Whether a thread of this process hangs."""
    return any(worker.still_s() > THREAD_S for worker in list(_workers))


async def beat(pipe: int) -> None:
    """Say every second that this process lives, until cancelled or until no process reads the pipe.

    `pipe`: the file descriptor of a pipe's end to write to.
    """
    os.set_blocking(pipe, False)
    logged = False
    while True:
        if not hangs():
            try:
                with suppress(BlockingIOError):  # a supervisor that was stopped for hours has not read
                    os.write(pipe, b".")
            except OSError:
                return
        elif not logged:
            logged = True
            log.error("a thread has hung for more than %.0f s; the supervisor gets no more signs of life", THREAD_S)
        await asyncio.sleep(EVERY_S)
