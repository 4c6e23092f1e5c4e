"""Waits in asyncio that end, and what is done again and again with pauses that grow while it fails.

`asyncio.wait_for` of Python 3.11 forgets that its task was cancelled where what it waits for happens in the same moment
(CPython issue 86296). The drivers of PostgreSQL and Kafka use it: after one cancellation their callers may go on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from time import monotonic
from typing import Any

log = logging.getLogger(__name__)

END_S = 15.0  # a task has this long to close what it uses, of which each step has a shorter limit of its own
AGAIN_S = 5.0  # until a task that was cancelled and goes on is cancelled again


class StillRunning(RuntimeError):
    """A task goes on although it was cancelled. Nothing may be begun beside it: the process has to end."""

    def __init__(self, tasks: Collection["asyncio.Task[Any]"]) -> None:
        names = ", ".join(sorted(getattr(task.get_coro(), "__qualname__", task.get_name()) for task in tasks))
        super().__init__(f"not ended {END_S:.0f} s after being cancelled: {names}")


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set now or within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True


async def repeat(
    what: str,
    step: Callable[[], Awaitable[object]],
    stop: asyncio.Event,
    passing: tuple[type[Exception], ...],
    *,
    every_s: float,
    last_pause_s: float,
    lost: Callable[[], bool] = lambda: False,
) -> None:
    """Do `step` every `every_s` seconds until `stop` is set, and at once where it returns that there is more.

    After an error in `passing` the pauses double, up to `last_pause_s`. Raises what else the step raises, and any error
    once what the step needs is `lost`.
    """
    pause = every_s
    while not stop.is_set():
        try:
            pause = 0.0 if await step() else every_s
        except passing as error:
            if lost():
                raise
            log.warning("%s failed and is tried again: %s", what, error or type(error).__name__)
            pause = min(2 * max(pause, every_s), last_pause_s)
        await set_within(stop, pause)


async def end_tasks(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel tasks, again where one forgets it, and return when all have ended, whatever they raise.

    Raises StillRunning after END_S seconds.
    """
    going_on = set(tasks)
    until = monotonic() + END_S
    while going_on and monotonic() < until:
        for task in going_on:
            task.cancel()
        ended, going_on = await asyncio.wait(going_on, timeout=AGAIN_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # read, or asyncio logs later that it was never retrieved
    if going_on:
        raise StillRunning(going_on)
