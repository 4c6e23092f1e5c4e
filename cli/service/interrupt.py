"""Ctrl-C and SIGTERM: end what runs in order, once."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Never, TypeVar

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TEND_EVERY_S = 0.2

Result = TypeVar("Result")


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop."""


_interrupted = threading.Event()


def go_on() -> None:
    """Raises Interrupted, in any thread, once a signal has come: for long work beside the main thread."""
    if _interrupted.is_set():
        raise Interrupted


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block the first signal raises Interrupted; further ones do not disturb the stopping."""

    def interrupt(_number: int, _frame: FrameType | None) -> Never:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        _interrupted.set()
        raise Interrupted

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run asynchronous work to its end; the first signal cancels it, so that it can end cleanly: then Interrupted."""
    return asyncio.run(_cancelled_by_signals(work))


async def _cancelled_by_signals(work: Coroutine[Any, Any, Result]) -> Result:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def interrupt() -> None:
        _interrupted.set()
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        raise Interrupted from None
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN if _interrupted.is_set() else handler)


def run_until_interrupted(tend: Callable[[], None]) -> Never:
    """Call `tend` again and again; ends only by an exception."""
    while True:
        tend()
        time.sleep(TEND_EVERY_S)
