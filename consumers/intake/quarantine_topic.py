"""Records on `scrip.quarantine`: the reason in clear, what was sent sealed."""

import asyncio
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaProducer

from infra.kafka_client import kafka_arguments
from infra.quarantine import Parked
from infra.settings import Settings
from infra.topics import QUARANTINE, topic_name

TYPE = "scrip.quarantine.parked"
DEADLINE_S = 20.0


class QuarantineRecord(msgspec.Struct):
    """A usage event that could not be applied: its identity, the reason in clear, and what was sent, sealed."""

    id: str
    org: str
    source: str
    event_id: str
    reason: str
    detail: str
    sealed: str


class QuarantineTopic:
    """Publishes at least once; a record's `ce_id` is its row's id, so a repeat is recognised. Connects on first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topic_name(settings, QUARANTINE)
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, rows: Sequence[Parked]) -> None:
        """Write a record for each row and wait until all are acknowledged. Raises KafkaError, TimeoutError."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                producer = await self._connected()
                sent = [
                    await producer.send(self._topic, _value(row), key=row.org.encode(), headers=_headers(row))
                    for row in rows
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
                async with asyncio.timeout(5):
                    await producer.stop()
            except TimeoutError:
                pass  # what it still holds is sent again by the next producer

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


def _value(row: Parked) -> bytes:
    record = QuarantineRecord(row.id, row.org, row.source, row.event_id, row.reason, row.detail, row.body)
    return msgspec.json.encode(record)


def _headers(row: Parked) -> list[tuple[str, bytes]]:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", row.id.encode()),
        ("ce_type", TYPE.encode()),
        ("ce_source", b"/scrip/intake"),
        ("ce_scriporg", row.org.encode()),
        ("content-type", b"application/json"),
    ]
