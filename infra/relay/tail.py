"""How far a partition is published, by the topic itself: the only truth about it (P-39)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka.record import NotALedgerRecord, difference, from_record, log_of
from infra.log.chain import GENESIS, link_of
from infra.log.events import LedgerEvent
from infra.relay.disagreement import TopicDisagrees

FIRST_STEP = 16  # offsets looked at first, from the end; a marker ends every transaction
GROWTH = 16
POLL_MS = 500
MAX_RECORDS = 2_000  # at a time: the log is asked about each of their positions
DEADLINE_S = 30.0  # for each step: foreign records may be so many that all of them take longer


class UndecidedTransaction(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """A transaction is open in the partition although the relay's own is decided: its events must not be overlooked."""


class Stored(Protocol):
    """The log, as far as it is needed here: a partition's events at some positions. `Source` is one."""

    async def events_at(self, partition: int, positions: Sequence[int]) -> dict[int, LedgerEvent]: ...


async def last_published(kafka: Mapping[str, Any], topic: str, partition: int, stored: Stored, log_id: str) -> int:
    """The position of the log's last event in a partition of the topic, 0 where there is none.

    To be called when no transaction of the relay can be open any more, that is after its producer started.
    `kafka` are aiokafka's arguments, `log_id` is that of the log `stored`. Records that no relay of the log wrote
    are passed over; projectors raise the alarm about them. Raises TopicDisagrees where the topic goes on in another
    history than the log, KafkaError, TimeoutError, and UndecidedTransaction where another producer's transaction
    hides the end of the partition.
    """
    where = TopicPartition(topic, partition)
    async with asyncio.timeout(DEADLINE_S) as limit:
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
                history = _History(partition, stored, log_id)
                await _read_between(reader, where, start, stable, history, limit)
                if history.last is not None or start == first:
                    return history.conclude(whole=first == 0)
                step *= GROWTH  # nothing so far but markers, aborted batches, and what others wrote
        finally:
            await _stop(reader)


class _History:
    """What the records of a partition, in their order, say about how far the log is published.

    One record proves little: it may be copied or forged. An event counts where the one before it came first.
    """

    def __init__(self, partition: int, stored: Stored, log_id: str) -> None:
        self._partition = partition
        self._stored = stored
        self._log_id = log_id
        self._seen: set[int] = set()  # positions of the log's own events
        self._hashes: dict[int, bytes] = {0: GENESIS}  # of records that follow from the one before, by position
        self._other: tuple[int, str] | None = None  # the furthest record of another history
        self._unknown: tuple[int, str] | None = None  # the last record of which nothing is known
        self._foreign: tuple[int, str] | None = None  # the last record of another log
        self.last: int | None = None

    async def read(self, records: Sequence[ConsumerRecord]) -> None:
        events = [event for record in records if (event := _event(record)) is not None]
        positions = {event.position - n for event in events for n in (0, 1)}
        rows = await self._stored.events_at(self._partition, sorted(positions)) if events else {}
        for record in records:
            event = _event(record)
            if event is not None:
                self._take(record, event, rows)

    def _take(self, record: ConsumerRecord, event: LedgerEvent, rows: Mapping[int, LedgerEvent]) -> None:
        position, row = event.position, rows.get(event.position)
        if row is not None and not difference(record, row, self._log_id):
            if position == 1 or position - 1 in self._seen:
                self.last = max(position, self.last or 0)
            self._seen.add(position)
            self._hashes[position] = event.hash
            return
        if log_of(record) != self._log_id:
            self._foreign = (position, f"belongs to another log, {log_of(record)}")
            return
        what = f"has another event at position {position}"
        if row is None:
            what = f"is ahead: position {position} is not in the database"
        self._unknown = (position, what)
        before = rows[position - 1].hash if position - 1 in rows else None
        for known in (self._hashes.get(position - 1), before):
            if known is not None and link_of(known, event) == event.hash:
                self._hashes[position] = event.hash
                self._other = max(self._other or (0, ""), (position, what))

    def conclude(self, *, whole: bool) -> int:
        """The last position. `whole`: the topic was read from its very first record. Raises TopicDisagrees."""
        last = self.last or max(self._seen, default=0)
        found = self._other
        if not last and found is None:
            found = self._foreign or (None if whole else self._unknown)
        if found is not None and found[0] > last:
            raise TopicDisagrees(self._partition, *found)
        return last


def _event(record: ConsumerRecord) -> LedgerEvent | None:
    try:
        log_of(record)
        return from_record(record)
    except NotALedgerRecord:
        return None


async def _end(kafka: Mapping[str, Any], where: TopicPartition, isolation: str) -> int:
    reader = _reader(kafka, isolation)
    try:
        await reader.start()
        return int((await reader.end_offsets([where]))[where])
    finally:
        await _stop(reader)


async def _stop(reader: AIOKafkaConsumer) -> None:
    """Stop a reader. Raises CancelledError where the caller's task was to end meanwhile: aiokafka swallows that."""
    await reader.stop()
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _reader(kafka: Mapping[str, Any], isolation: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **kafka, isolation_level=isolation, auto_offset_reset="none", enable_auto_commit=False, fetch_max_wait_ms=100
    )


async def _read_between(
    reader: AIOKafkaConsumer, where: TopicPartition, start: int, end: int, history: _History, limit: asyncio.Timeout
) -> None:
    """Let `history` read the committed records from `start` up to `end`.

    It ends when the reader's position gets there, not when a record comes: there may be none. `limit` begins again
    whenever the position has moved.
    """
    reader.seek(where, start)
    reached = start
    while (position := await reader.position(where)) < end:
        if position > reached:
            reached = position
            limit.reschedule(asyncio.get_running_loop().time() + DEADLINE_S)
        for records in (await reader.getmany(where, timeout_ms=POLL_MS, max_records=MAX_RECORDS)).values():
            await history.read(records)
