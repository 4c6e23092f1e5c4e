"""Interpreter settings for processes that hold many long-lived objects and share the interpreter with a writer."""

import gc
import sys


def tune_interpreter() -> None:
    """Make collections of the oldest generation rare and let a thread that was waiting for PostgreSQL go on soon.

    Cached states are many, long-lived and without cycles: walking them over and over cost a fifth of the writer's
    time (`scrip bench writer`). The default switch interval of 5 ms is ten times the writer's shortest batch.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 1_000)
    sys.setswitchinterval(0.001)
