"""Reads past a record batch that cannot be read: it is delivered as one record, with its bytes and the reason.

aiokafka 0.14 raises at such a batch, fetches it again, and raises again: the partition stops for good. What the same
call had already taken from other partitions is lost. So its reading of batches is replaced, for all consumers of the
process, when this module is imported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from struct import Struct
from typing import Any, NamedTuple

import cramjam
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import calc_crc32c

MAX_PLAIN_BYTES = 64 << 20  # of a batch after decompression: a few bytes can stand for gigabytes
MAX_RECORDS = 1 << 18  # of a batch: an event has 256 bytes and more, but a record may have seven

# Base offset, length of the rest, leader's epoch, format; then, in format 2: checksum, attributes, last offset's delta.
_PREFIX = Struct(">qiib")
_HEADER = Struct(">qiibIhiqqqhii")
_START = 12  # bytes before those that `length` counts
_ATTRIBUTES_AT = 21
_CODEC = 0x07
_CODECS = {1: cramjam.gzip, 2: cramjam.snappy, 3: cramjam.lz4, 4: cramjam.zstd}
_XERIAL = b"\x82SNAPPY\0"  # Java's frame around snappy blocks: 16 bytes, then blocks with their length before them
_SHORT, _LENGTH = Struct(">h"), Struct(">i")


class UnreadableBatch(ValueError):
    """The bytes are no batch of records that this version can read; the text says why."""


@dataclass
class SetAside(ConsumerRecord):  # type: ignore[misc]  # aiokafka has no types
    """In place of the records of a batch that cannot be read. `offset` is the last of them, so that reading goes on.

    `value` is none and there are no headers, so nothing takes it for a record; `batch` are its bytes as stored.
    """

    first_offset: int = 0
    batch: bytes = b""
    reason: str = ""

    @property
    def place(self) -> str:
        """Topic, partition and first offset: the same however often the batch is read."""
        return f"{self.topic}/{self.partition}/{self.first_offset}"


class Kept(NamedTuple):
    """A record of a batch that was kept: its headers, value and offset."""

    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None
    offset: int


def records_of(batch: bytes) -> list[Kept]:
    """The records of a batch as `SetAside` has it. Raises UnreadableBatch where it still cannot be read."""
    try:
        slice_ = memoryview(batch)
        read = _checked(slice_, crc=True)
        if read.is_control_batch:
            return []
        return [Kept(tuple(one.headers), one.value, one.offset) for one in _plain(read, slice_)]
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableBatch(_why(error)) from error


class _Batches:
    """In place of aiokafka's MemoryRecords: the batches in a broker's answer, as slices."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = memoryview(answer or b"")
        self._at = 0
        self._end = self._end_of_next()

    def size_in_bytes(self) -> int:
        return len(self._answer)

    def has_next(self) -> bool:
        return self._end > self._at

    def next_slice(self) -> memoryview:
        found, self._at = self._answer[self._at : self._end], self._end
        self._end = self._end_of_next()
        return found

    def _end_of_next(self) -> int:
        """Where the next batch ends. The broker cuts off the last one, never the first: then its length is wrong."""
        left = len(self._answer) - self._at
        if left >= _PREFIX.size:
            length = _PREFIX.unpack_from(self._answer, self._at)[1]
            if 0 < length <= left - _START:
                return self._at + _START + int(length)
        return self._at or len(self._answer)


class _Records(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """The records of a partition in a broker's answer, and what is set aside, in order."""

    def _unpack_records(self) -> Iterator[Any]:
        """As aiokafka's, which ends with the first batch that it cannot read."""
        committed_only = self._isolation_level == fetcher.READ_COMMITTED
        while self._records.has_next():
            slice_ = self._records.next_slice()
            try:
                batch = _checked(slice_, crc=self._check_crcs)
                if committed_only and batch.producer_id is not None:
                    self._consume_aborted_up_to(batch.base_offset)
                    if batch.is_control_batch and self._contains_abort_marker(batch):
                        self._aborted_producers.discard(batch.producer_id)
                    if batch.is_transactional and batch.producer_id in self._aborted_producers:
                        self.next_fetch_offset = batch.next_offset
                        continue
                if not batch.is_control_batch:
                    for record in list(
                        _plain(batch, slice_)
                    ):  # all or none: a batch is read whole before its first record is used
                        if record.offset >= self.next_fetch_offset:
                            found = self._consumer_record(self._tp, record)
                            self.next_fetch_offset = record.offset + 1
                            yield found
                self.next_fetch_offset = batch.next_offset
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - decoders raise whatever the bytes make them raise
                aside = _set_aside(self._tp, slice_, self.next_fetch_offset, _why(error))
                self.next_fetch_offset = aside.offset + 1
                yield aside


def _checked(slice_: memoryview, *, crc: bool) -> Any:
    """The batch, whose header can be believed. Raises UnreadableBatch, and what damage makes the decoders raise."""
    if len(slice_) < _PREFIX.size:
        raise UnreadableBatch("the batch is cut off")
    magic = slice_[_PREFIX.size - 1]
    if magic < 2:
        batch = LegacyRecordBatch(slice_, magic)
    elif magic > 2:
        raise UnreadableBatch(f"the format {magic} of the batch is unknown")
    elif len(slice_) < _HEADER.size or len(slice_) != _START + _PREFIX.unpack_from(slice_)[1]:
        raise UnreadableBatch("the batch is cut off")
    elif _HEADER.unpack_from(slice_)[-1] > MAX_RECORDS:
        raise UnreadableBatch(f"it has more than {MAX_RECORDS} records")
    else:
        batch = DefaultRecordBatch(slice_)
    if crc and not batch.validate_crc():
        raise UnreadableBatch("the checksum does not match: the bytes are damaged")
    return batch


def _plain(batch: Any, slice_: memoryview) -> Any:
    """The same batch, decompressed. Raises as `_checked`."""
    codec = batch.compression_type if isinstance(batch, DefaultRecordBatch) else 0
    return DefaultRecordBatch(_decompressed(slice_, codec)) if codec else batch


def _decompressed(slice_: memoryview, codec: int) -> bytes:
    """The same batch with its records in clear."""
    module = _CODECS.get(codec)
    if module is None:
        raise UnreadableBatch(f"the compression {codec} is unknown")
    packed = slice_[_HEADER.size :]
    # Anonymous memory, of which only what is written to exists: a bytearray of this size takes 50 ms.
    with mmap(-1, MAX_PLAIN_BYTES) as plain, memoryview(plain) as room:
        try:
            if module is not cramjam.snappy:
                size = module.decompress_into(packed, room)
            elif bytes(packed[: len(_XERIAL)]) == _XERIAL:
                size = _xerial(packed, room)
            else:
                size = cramjam.snappy.decompress_raw_into(packed, room)
        except cramjam.DecompressionError as error:
            raise UnreadableBatch(f"it cannot be decompressed to at most {MAX_PLAIN_BYTES} bytes: {error}") from error
        header = bytearray(slice_[: _HEADER.size])
        (attributes,) = _SHORT.unpack_from(header, _ATTRIBUTES_AT)
        _SHORT.pack_into(header, _ATTRIBUTES_AT, attributes & ~_CODEC)
        return bytes(header) + plain[:size]


def _xerial(packed: memoryview, room: memoryview) -> int:
    size, at = 0, 16
    while at < len(packed):
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size
        if not 0 < length <= len(packed) - at:
            raise UnreadableBatch("a block of snappy is cut off")
        with room[size:] as rest:
            size += cramjam.snappy.decompress_raw_into(packed[at : at + length], rest)
        at += length
    return size


def _set_aside(tp: TopicPartition, slice_: memoryview, position: int, reason: str) -> SetAside:
    """Where to go on is in the batch's header, if that can be believed; else one offset further is tried.

    The broker answers with the same batch as long as that offset is within it.
    """
    first, last, time = position, position, -1
    if len(slice_) >= _HEADER.size and slice_[_PREFIX.size - 1] >= 2:
        base, _, _, _, checksum, _, delta, _, newest, _, _, _, count = _HEADER.unpack_from(slice_)
        first = min(base, position)
        if base <= position <= base + delta and (
            delta == count - 1 or checksum == calc_crc32c(bytes(slice_[_ATTRIBUTES_AT:]))
        ):
            last, time = base + delta, newest
    return SetAside(
        *(tp.topic, tp.partition, last, time, 0, None, None, None, -1, -1, ()),
        first_offset=first,
        batch=bytes(slice_),
        reason=f"offsets {first} to {last} cannot be read: {reason}",
    )


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, UnreadableBatch) else f"{type(error).__name__}: {error}"[:300]


fetcher.MemoryRecords, fetcher.PartitionRecords = _Batches, _Records
