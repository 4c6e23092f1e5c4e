"""What consumer groups have still to read, by the broker, which also knows it when the consumer is dead.

FastStream reads as a member of a group and asks for no offsets, so this is aiokafka (decision 0017).
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from infra.kafka.client import kafka_arguments
from infra.kafka.topics import DECISIONS, INTAKE, NOTIFIER, USAGE, topic_name
from infra.settings import Settings

POLL_S = 0.1
OLDEST_S = 1.0  # for the first unread records of all partitions; where they do not come, their age is not known
PEEK_BYTES = 65_536  # fetched of a partition for that, or one batch


class Read(NamedTuple):
    """A consumer group of ours, and a topic that it reads and commits."""

    topic: str
    group: str


class Unread(NamedTuple):
    """What a group has still to read of a partition.

    `reached`: the offset that it has committed, -1 before its first commit. `records`: how many wait; offsets without
    a record, as at the end of a transaction, may be among them. `oldest_ms`: the first one's own time in milliseconds
    since 1970, none where nothing waits or it could not be read.
    """

    topic: str
    group: str
    partition: int
    reached: int
    records: int
    oldest_ms: int | None


def read_by_us(settings: Settings) -> list[Read]:
    """Every topic that a role reads from where it has committed. The projector commits in PostgreSQL."""
    return [
        Read(topic_name(settings, USAGE), topic_name(settings, INTAKE)),
        Read(topic_name(settings, DECISIONS), topic_name(settings, NOTIFIER)),
    ]


class LagReader:
    """Asks the broker again and again over the same connections, which are made when they are needed."""

    def __init__(self, settings: Settings, read: Sequence[Read]) -> None:
        self._settings = settings
        self._read = read
        self._clients: tuple[AIOKafkaConsumer, AIOKafkaAdminClient] | None = None

    async def look(self, deadline_s: float = 5.0) -> list[Unread]:
        """Every partition of the topics. Raises KafkaError, OSError, TimeoutError."""
        try:
            async with asyncio.timeout(deadline_s):
                reader, admin = await self._connected()
                described = await admin.describe_topics(sorted({read.topic for read in self._read}))
                parts = {one["topic"]: [part["partition"] for part in one["partitions"]] for one in described}
                found: list[Unread] = []
                for read in self._read:
                    found += await _unread(reader, admin, read, parts[read.topic])
                return found
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let the connections go."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await clients[0].stop()
            await clients[1].close()

    async def _connected(self) -> tuple[AIOKafkaConsumer, AIOKafkaAdminClient]:
        if self._clients is None:
            arguments = kafka_arguments(self._settings)
            reader = AIOKafkaConsumer(
                **arguments,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                fetch_max_wait_ms=100,
                max_partition_fetch_bytes=PEEK_BYTES,
            )
            self._clients = reader, AIOKafkaAdminClient(**arguments)
            await self._clients[0].start()
            await self._clients[1].start()
        return self._clients


async def _unread(
    reader: AIOKafkaConsumer, admin: AIOKafkaAdminClient, read: Read, partitions: Iterable[int]
) -> list[Unread]:
    parts = [TopicPartition(read.topic, partition) for partition in sorted(partitions)]
    committed = await _committed(admin, read.group)
    starts, ends = await reader.beginning_offsets(parts), await reader.end_offsets(parts)
    reached = {part: committed[part].offset if part in committed else -1 for part in parts}
    first = {part: max(reached[part], starts[part]) for part in parts}
    oldest = await _oldest(reader, {part: first[part] for part in parts if first[part] < ends[part]}, ends)
    found = []
    for part in parts:
        at, time = oldest.get(part, (first[part], None))
        found.append(Unread(*read, part.partition, reached[part], max(0, ends[part] - at), time))
    return found


async def _oldest(
    reader: AIOKafkaConsumer, first: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> dict[TopicPartition, tuple[int, int | None]]:
    """Offset and time of the first record from these offsets on; the end's where only markers are left."""
    found: dict[TopicPartition, tuple[int, int | None]] = {}
    if not first:
        return found
    reader.assign(list(first))
    try:
        for part, offset in first.items():
            reader.seek(part, offset)
        async with asyncio.timeout(OLDEST_S):
            while len(found) < len(first):
                left = [part for part in first if part not in found]
                for part, records in (await reader.getmany(*left, timeout_ms=100, max_records=len(left))).items():
                    found[part] = (records[0].offset, records[0].timestamp)
                    reader.pause(part)
                for part in left:
                    if part not in found and await reader.position(part) >= ends[part]:
                        found[part] = (ends[part], None)
    except (TimeoutError, KafkaError):
        pass  # the broker cannot hand them out, or not to us: how many wait is known all the same
    finally:
        reader.unsubscribe()
    return found


async def _committed(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    while True:
        try:
            found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:  # for a moment, where no group has ever committed
            await asyncio.sleep(POLL_S)
        else:
            return found
