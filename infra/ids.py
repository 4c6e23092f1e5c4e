"""Ids that Scrip makes. They increase with time, so that indexes grow at one end; nothing is decided from them."""

import os
from itertools import count
from random import Random
from secrets import randbits, token_hex
from time import time_ns

# Seeded from the operating system but not read from it each time: that would give the interpreter's lock away in the
# middle of every request, to a writer that keeps it for milliseconds. Ids need to be unique, not secret.
_random = Random(os.urandom(32))  # noqa: S311
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))

_process = token_hex(5)  # 40 random bits, drawn once for each process
_numbers = count(randbits(20))


def uuid7() -> str:
    """A UUID of version 7, for what callers create and name later: generations, grants, groups, purchases."""
    now, random = time_ns() // 1_000_000, _random.getrandbits(74)
    # Written out at once: `uuid.UUID` costs three times as much, and nearly every command makes one.
    return (
        f"{now >> 16:08x}-{now & 0xFFFF:04x}-7{random >> 62:03x}-{0x8000 | random >> 48 & 0x3FFF:04x}"
        f"-{random & 0xFFFF_FFFF_FFFF:012x}"
    )


def record_id(prefix: str = "") -> str:
    """32 hexadecimal digits after `prefix`, cheaper, for what is made in masses: submissions' keys, usage's debits.

    Milliseconds, a random part drawn once by a process, and a number: not for a process that forks after its import.
    """
    return f"{prefix}{time_ns() // 1_000_000:012x}{_process}{next(_numbers) & 0xFFFF_FFFF_FF:010x}"
