"""Which partition of the log an organisation lives in."""

from functools import lru_cache
from hashlib import sha256

PLATFORM = "platform"  # the organisation that holds the price book and other platform-wide settings

Placed = tuple[int, tuple[str, str]]  # a partition, and an organisation's stream or tag in it


@lru_cache(maxsize=100_000)
def partition_of(org: str, partitions: int) -> int:
    """A stable hash of the organisation's id: 0 to `partitions` - 1, the same for ever and in every process."""
    return int.from_bytes(sha256(org.encode()).digest()[:8]) % partitions


def placed(key: tuple[str, str], partitions: int) -> Placed:
    """An organisation's stream or tag with its partition."""
    return partition_of(key[0], partitions), key
