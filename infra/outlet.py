"""A producer for what is not the log: in order, at least once, replaced after every error."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from infra.kafka_client import kafka_arguments
from infra.settings import Settings

DEADLINE_S = 20.0
STOP_S = 3.0


class Outgoing(NamedTuple):
    """A record: its key, value and headers."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Outlet:
    """Connects on first use. Records of one key arrive in the order in which they were given."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, topic: str, records: Sequence[Outgoing]) -> None:
        """Return when all are acknowledged. Raises KafkaError, OSError, TimeoutError: then any of them may be there."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                producer = await self._connected()
                sent = [
                    await producer.send(topic, record.value, key=record.key, headers=record.headers)
                    for record in records
                ]
                await asyncio.gather(*sent)
        except BaseException:
            # After an error its sequence numbers may be broken for good (P-35): the next try gets a new one.
            await self.close()
            raise

    async def close(self) -> None:
        """Let the connection go; `publish` makes a new one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(STOP_S):
                    await producer.stop()
            except (TimeoutError, KafkaError, OSError):
                pass  # what it still holds is published again by the next one

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **kafka_arguments(self._settings),
                enable_idempotence=True,
                acks="all",
                linger_ms=5,
                request_timeout_ms=10_000,
            )
            self._producer = producer
            await producer.start()
        return self._producer
