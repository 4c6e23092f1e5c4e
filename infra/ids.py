"""Ids that the ledger makes: random, and increasing with time, so that indexes grow at one end."""

from itertools import count
from secrets import randbits, token_hex
from time import time_ns

_process = token_hex(5)  # 40 random bits, drawn once for each process
_numbers = count(randbits(20))


def new_id(prefix: str = "") -> str:
    """A new id of 32 hexadecimal digits after `prefix`: milliseconds, a process's random part, a number."""
    return f"{prefix}{time_ns() // 1_000_000:012x}{_process}{next(_numbers) & 0xFFFF_FFFF_FF:010x}"
