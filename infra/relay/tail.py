"""Where the topic itself says that a partition's publishing stands: the only truth about it (P-39)."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka_record import from_record, log_of

FIRST_STEP = 16  # offsets looked at first, from the end; a marker ends every transaction
GROWTH = 16
POLL_MS = 500
DEADLINE_S = 30.0


class Tail(NamedTuple):
    """The last committed event of a partition of the topic."""

    position: int
    hash: bytes
    log_id: str


class UndecidedTransaction(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """A transaction is open in the partition although the relay's own is decided: its events must not be overlooked."""


async def last_published(kafka: Mapping[str, Any], topic: str, partition: int) -> Tail | None:
    """The last committed event in a partition of the topic, or None where there is none.

    To be called when no transaction of the relay can be open any more, that is after its producer started.
    `kafka` are aiokafka's arguments. Raises KafkaError, TimeoutError, and UndecidedTransaction where another
    producer's transaction hides the end of the partition.
    """
    where = TopicPartition(topic, partition)
    async with asyncio.timeout(DEADLINE_S):
        end = await _end(kafka, where, "read_uncommitted")
        reader = _reader(kafka, "read_committed")
        try:
            await reader.start()
            reader.assign([where])
            stable = (await reader.end_offsets([where]))[where]
            # Between the two questions only a foreign producer could have written.
            if stable < end:
                raise UndecidedTransaction(f"{topic}/{partition}: a transaction is open from {stable} to {end}")
            first = (await reader.beginning_offsets([where]))[where]
            step = FIRST_STEP
            while True:
                start = max(first, stable - step)
                last = await _last_between(reader, where, start, stable)
                if last is not None:
                    event = from_record(last)
                    return Tail(event.position, event.hash, log_of(last))
                if start == first:
                    return None
                step *= GROWTH  # nothing but markers and aborted batches so far
        finally:
            await reader.stop()


async def _end(kafka: Mapping[str, Any], where: TopicPartition, isolation: str) -> int:
    reader = _reader(kafka, isolation)
    try:
        await reader.start()
        return int((await reader.end_offsets([where]))[where])
    finally:
        await reader.stop()


def _reader(kafka: Mapping[str, Any], isolation: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **kafka, isolation_level=isolation, auto_offset_reset="none", enable_auto_commit=False, fetch_max_wait_ms=100
    )


async def _last_between(reader: AIOKafkaConsumer, where: TopicPartition, start: int, end: int) -> ConsumerRecord | None:
    """The last committed record from `start` up to `end`.

    It ends when the reader's position gets there, not when a record comes: there may be none.
    """
    reader.seek(where, start)
    last = None
    while await reader.position(where) < end:
        for records in (await reader.getmany(where, timeout_ms=POLL_MS)).values():
            last = records[-1]
    return last
