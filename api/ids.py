"""Ids that the edge makes for what a command creates."""

import os
from random import Random
from time import time_ns
from uuid import UUID

# Seeded from the operating system but not read from it each time: that would give the interpreter's lock away in the
# middle of every request, to a writer that keeps it for milliseconds. Ids need to be unique, not secret.
_random = Random(os.urandom(32))  # noqa: S311
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))


def new_id() -> str:
    """A UUID of version 7: by time, so that new rows of an index lie side by side. Nothing is decided from it."""
    value = (time_ns() // 1_000_000) << 80 | _random.getrandbits(80)
    value = value & ~(0xF000 << 64) | 0x7000 << 64
    value = value & ~(0xC000 << 48) | 0x8000 << 48
    return str(UUID(int=value))
