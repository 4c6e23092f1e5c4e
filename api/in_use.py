"""Counts of what is in use at the moment, by whom: those who use nothing take no memory."""

from collections import Counter
from typing import TypeVar

Key = TypeVar("Key")


def release(counts: Counter[Key], key: Key, size: int = 1) -> None:
    """Take `size` off the count of `key`, which leaves the counts with its last."""
    counts[key] -= size
    if not counts[key]:
        del counts[key]
