"""Which partition of the log an organisation lives in."""

from functools import lru_cache
from hashlib import sha256

PLATFORM = "platform"  # the organisation that holds the price book and other platform-wide settings


@lru_cache(maxsize=100_000)
def partition_of(org: str, partitions: int) -> int:
    """A stable hash of the organisation's id: 0 to `partitions` - 1, the same for ever and in every process."""
    return int.from_bytes(sha256(org.encode()).digest()[:8]) % partitions
