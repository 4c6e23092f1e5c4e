"""Interpreter settings for processes that hold many long-lived objects and share the interpreter with a writer."""

import ctypes
import gc
import sys
from threading import Event, Thread
from time import monotonic

YOUNG = 2_000  # new objects after which they are looked at: a pause of some 2 ms
NEVER = 1_000_000
FREEZE_EVERY_S = 1.0
FULL_EVERY_S = 600.0

LARGE = 65_536  # bytes: from this size on, memory comes from the system and goes back to it by itself
SPARE = 1_048_576  # bytes that are kept at the top of the heap
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's names and numbers

_tuned = Event()


def tune_interpreter() -> None:
    """Look for garbage among young objects only, and let a waiting thread go on soon.

    Cached states are many, long-lived and without cycles. Python's own schedule looked at them over and over, a fifth
    of the writer's time, and sooner or later at all of them at once, a pause of 0.8 s (`scrip bench neighbour`). Here
    what has survived one look is not looked at again until the full collection every ten minutes. The default switch
    interval of 5 ms is ten times the writer's shortest batch. Calling this again changes nothing.
    """
    if _tuned.is_set():
        return
    _tuned.set()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, NEVER, NEVER)
    sys.setswitchinterval(0.001)
    Thread(target=_collect, name="garbage", daemon=True).start()


def trim() -> None:
    """Give back what is free in the middle of the heap. It may take some milliseconds: not on an event loop."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def give_memory_back() -> None:
    """Have large pieces of memory, the bodies of requests, given back to the system when they are let go.

    glibc raises its own limit for that as soon as such a piece is freed, up to 32 MB. What callers send then comes from
    the heap, where one small object above it keeps all of it: 80 MB after an attack of unfinished bodies. Where the C
    library is another one, nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_TRIM_THRESHOLD, SPARE)


def _collect() -> None:
    pause, full = Event(), monotonic()
    while True:
        pause.wait(FREEZE_EVERY_S)
        if monotonic() - full > FULL_EVERY_S:
            gc.unfreeze()
            gc.collect()
            full = monotonic()
        gc.freeze()
