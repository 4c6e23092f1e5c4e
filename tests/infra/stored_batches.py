"""Record batches as they lie on the broker's disk, changed there: the broker refuses to take damaged ones."""

import struct
from collections.abc import Callable
from pathlib import Path

from aiokafka.record.util import calc_crc32c

from infra.embedded import EmbeddedServers

Change = Callable[[bytearray], None]


def damage(servers: EmbeddedServers, topic: str, partition: int, which: int, change: Change) -> bytes:
    """Change the batch with this number, from 0, of a partition; the bytes that it then has."""
    file = Path(servers._data_dir) / "kafka" / f"{topic}-{partition}" / "00000000000000000000.log"
    with file.open("r+b") as log:
        at = 0
        for _ in range(which):
            at += _length(log.read(12))
            log.seek(at)
        length = _length(log.read(12))
        log.seek(at)
        batch = bytearray(log.read(length))
        change(batch)
        assert len(batch) == length
        log.seek(at)
        log.write(batch)
    return bytes(batch)


def _length(start: bytes) -> int:
    return 12 + int.from_bytes(start[8:], "big")


def checked(change: Change) -> Change:
    """A change that comes with a checksum that matches."""

    def changed(batch: bytearray) -> None:
        change(batch)
        struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))

    return changed


def flipped(batch: bytearray) -> None:
    """Damage the records, so that the checksum does not match."""
    batch[-9] ^= 0xFF
