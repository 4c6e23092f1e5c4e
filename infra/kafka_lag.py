"""How far a consumer group is behind the topic that it reads, asked of the broker."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata

from infra.kafka_client import kafka_arguments
from infra.settings import Settings

POLL_S = 0.1


def intake_group(settings: Settings) -> str:
    """The consumer group of the role that applies usage events."""
    return f"{settings.topic_prefix}scrip-intake"


async def group_lag(settings: Settings, group: str, topic: str, deadline_s: float = 5.0) -> dict[int, int]:
    """Messages by partition that the group has still to read; all of a partition where it has never committed.

    Raises KafkaError, TimeoutError, OSError.
    """
    arguments = kafka_arguments(settings)
    async with asyncio.timeout(deadline_s):
        reader = AIOKafkaConsumer(**arguments, enable_auto_commit=False)
        admin = AIOKafkaAdminClient(**arguments)
        try:
            await reader.start()
            await admin.start()
            [described] = await admin.describe_topics([topic])
            parts = [TopicPartition(topic, part["partition"]) for part in described["partitions"]]
            ends = await reader.end_offsets(parts)
            starts = await reader.beginning_offsets(parts)
            committed = await _committed(admin, group)
        finally:
            await reader.stop()
            await admin.close()
    reached = {part: known.offset for part, known in committed.items() if known.offset >= 0}
    return {part.partition: max(0, ends[part] - reached.get(part, starts[part])) for part in parts}


async def _committed(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    while True:
        try:
            found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:  # for a moment, where no group has ever committed
            await asyncio.sleep(POLL_S)
        else:
            return found
