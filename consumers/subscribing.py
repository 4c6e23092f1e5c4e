"""How Scrip subscribes with FastStream so that no event is lost; its defaults lose some (reliability, rule 5)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from faststream import AckPolicy, BaseMiddleware
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaAckableMessage

from consumers.patience import Stopping, until_done
from infra.kafka.channels import Channel, kafka_broker
from infra.kafka.topics import topic_name
from infra.settings import Settings

log = logging.getLogger(__name__)

SUBSCRIBER: dict[str, Any] = {
    "auto_offset_reset": "earliest",
    "isolation_level": "read_committed",
    "session_timeout_ms": 10_000,
    "no_reply": True,  # a `reply_to` header of a stranger must not make us write to a topic
}
LOOK_EVERY_S = 5.0
STUCK_AFTER_S = 30.0
COMMIT_DEADLINE_S = 10.0

Records = tuple["ConsumerRecord[bytes, bytes]", ...]
Handler = Callable[[Records], Awaitable[None]]


def consuming_broker(
    settings: Settings, client_id: str, logger: logging.Logger, stop: asyncio.Event, graceful_s: float = 15.0
) -> KafkaBroker:
    """A broker that only reads. Its handlers are repeated until they return, or `stop` is set.

    When it stops, a handler has `graceful_s` seconds to end. Raises KafkaMisconfigured.
    """
    return kafka_broker(
        settings,
        logger,
        client_id=client_id,
        consumer_only=True,
        graceful_timeout=graceful_s,
        middlewares=[partial(Persistent, stop=stop)],
    )


def subscribed(broker: KafkaBroker, channel: Channel, settings: Settings, handler: Handler, **more: Any) -> Any:
    """A subscriber that gives the channel's records to `handler` in batches, as they came, and acknowledges nothing.

    FastStream's own parser and decoder cost 16.7 microseconds a record, 13 to 16 % of what the projector has for one;
    and one header that is not UTF-8, or a value that is not JSON, would cost the batch.
    """
    subscriber = broker.subscriber(
        topic_name(settings, channel.topic),
        batch=True,
        group_id=topic_name(settings, channel.group),
        ack_policy=AckPolicy.MANUAL,
        parser=as_it_is,
        decoder=undecoded,
        **SUBSCRIBER | more,
    )
    subscriber(handler)
    return subscriber


async def as_it_is(records: Records) -> KafkaAckableMessage:
    """A parser for batches that hands them over as they came."""
    first, last = records[0], records[-1]
    return KafkaAckableMessage(
        raw_message=records,
        body=b"",
        message_id=f"{first.partition}-{first.offset}-{last.partition}-{last.offset}",
        consumer=FAKE_CONSUMER,  # never acknowledged through the message: checkpoints or explicit offsets are
    )


async def undecoded(message: KafkaAckableMessage) -> Any:
    """The records of such a message."""
    return message.raw_message


class Persistent(BaseMiddleware[Any, Any]):
    """Repeats a batch whose handler raises: FastStream goes on, and the next offsets would acknowledge it (P-49)."""

    def __init__(self, msg: Any, /, *, context: Any, stop: asyncio.Event) -> None:
        super().__init__(msg, context=context)
        self._stop = stop

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: Any) -> Any:
        try:
            return await until_done("a batch of records", lambda: call_next(msg), self._stop, (Exception,))
        except Stopping:
            return None


async def acknowledge(consumer: AIOKafkaConsumer | None, records: Records) -> None:
    """Commit that these records are dealt with. What fails is only said: who reads them again comes to the same end."""
    offsets = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
    try:
        async with asyncio.timeout(COMMIT_DEADLINE_S):
            await consumer.commit(offsets)  # type: ignore[union-attr]  # AttributeError: the client is gone
    except (KafkaError, IllegalStateError, ConsumerStoppedError, TimeoutError, AttributeError) as error:
        log.info("offsets were not committed: %s", error)  # the partition may be another process's by now


class Watch:
    """Tells when a consumer is stuck: records lie ahead, and for 30 s none was dealt with (reliability, P-50)."""

    def __init__(self) -> None:
        self.moved()

    def moved(self) -> None:
        """Something was dealt with, or a new consumer begins."""
        self._moved_at = monotonic()

    async def stuck(self, consumer: AIOKafkaConsumer | None, but: Collection[int] = ()) -> bool:
        """Whether to replace the consumer. `but`: partitions that stand still for a reason of their own."""
        if monotonic() - self._moved_at <= STUCK_AFTER_S:
            return False
        if await behind(consumer, but):
            return True
        self.moved()
        return False


async def behind(consumer: AIOKafkaConsumer | None, but: Collection[int]) -> bool:
    """Whether a consumer has something to read; so it is said of a client that cannot even be asked."""
    try:
        async with asyncio.timeout(LOOK_EVERY_S):
            parts = {part for part in consumer.assignment() if part.partition not in but}  # type: ignore[union-attr]
            ends = await consumer.end_offsets(parts) if parts else {}  # type: ignore[union-attr]
            return any([end != await consumer.position(part) for part, end in ends.items()])  # type: ignore[union-attr]
    except (KafkaError, TimeoutError, AssertionError, AttributeError):
        return True
