"""What a consumer group has still to read, by partition."""

from infra.kafka.lag import LagReader, Read
from infra.settings import Settings


async def group_lag(settings: Settings, group: str, topic: str, deadline_s: float = 5.0) -> dict[int, int]:
    """Messages by partition that the group has still to read; all of a partition where it has never committed.

    Raises KafkaError, TimeoutError, OSError.
    """
    reader = LagReader(settings, [Read(topic, group)])
    try:
        return {unread.partition: unread.records for unread in await reader.look(deadline_s)}
    finally:
        await reader.close()
