"""How Scrip subscribes with FastStream so that no event is lost; its defaults lose some (reliability, rule 5)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from time import monotonic
from typing import Any, TypeVar

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from faststream import AckPolicy, BaseMiddleware
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaAckableMessage

from infra.kafka.channels import Channel, kafka_broker
from infra.kafka.topics import topic_name
from infra.settings import Settings
from infra.waits import set_within
from infra.writer.submission import OutcomeUnknown, Overloaded

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
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0
PASSING = (psycopg.OperationalError, psycopg.InterfaceError, KafkaError, OutcomeUnknown, Overloaded, OSError)

Records = tuple["ConsumerRecord[bytes, bytes]", ...]
Result = TypeVar("Result")


class Stopping(Exception):
    """The role is ending: what is not decided yet stays on the topic and is read again."""


async def until_done(
    what: str,
    step: Callable[[], Awaitable[Result]],
    stop: asyncio.Event,
    passing: tuple[type[Exception], ...] = PASSING,
) -> Result:
    """Run `step`, which must be safe to repeat, until it returns: PostgreSQL or Kafka may be away. Pauses: 0.1 to 5 s.

    Raises Stopping when `stop` is set before that, and every error of the step that is not `passing`. With Exception
    among `passing`, unexpected errors are logged with their traceback, and the step is repeated.
    """
    seconds = FIRST_PAUSE_S
    while not stop.is_set():
        try:
            return await step()
        except Stopping:
            raise
        except PASSING as error:
            log.warning("%s failed and is tried again: %s", what, error or type(error).__name__)
        except passing:
            log.exception("%s failed and is tried again", what)
        await set_within(stop, seconds)
        seconds = min(seconds * 2, LAST_PAUSE_S)
    raise Stopping


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


def subscribed(broker: KafkaBroker, channel: Channel, settings: Settings, **more: Any) -> Any:
    """A subscriber, which decorates a handler of batches. The handler gets the records as they came.

    FastStream acknowledges nothing: the handler does (`acknowledge`), or keeps checkpoints of its own.

    FastStream's own parser and decoder cost 16.7 microseconds a record, 13 to 16 % of what the projector has for one;
    and one header that is not UTF-8, or a value that is not JSON, would cost the batch.
    """
    return broker.subscriber(
        topic_name(settings, channel.topic),
        batch=True,
        group_id=topic_name(settings, channel.group),
        ack_policy=AckPolicy.MANUAL,
        parser=as_it_is,
        decoder=undecoded,
        **SUBSCRIBER | more,
    )


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
    """Commit the offsets of records. An error is only logged: reading the records again has the same result."""
    offsets = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
    try:
        async with asyncio.timeout(COMMIT_DEADLINE_S):
            await consumer.commit(offsets)  # type: ignore[union-attr]  # AttributeError: the client is gone
    except (KafkaError, IllegalStateError, ConsumerStoppedError, TimeoutError, AttributeError) as error:
        log.info("offsets were not committed: %s", error)  # the partition may be another process's by now


class Watch:
    """Finds a consumer that is stuck: records lie ahead, and for 30 s none was handled (reliability, P-50)."""

    def __init__(self) -> None:
        self.moved()

    def moved(self) -> None:
        """Something was handled, or a new consumer begins."""
        self._moved_at = monotonic()

    async def stuck(self, consumer: AIOKafkaConsumer | None, but: Collection[int] = ()) -> bool:
        """Whether to replace the consumer. `but`: partitions that are stopped for a reason of their own."""
        if monotonic() - self._moved_at <= STUCK_AFTER_S:
            return False
        if await behind(consumer, but):
            return True
        self.moved()
        return False


async def behind(consumer: AIOKafkaConsumer | None, but: Collection[int]) -> bool:
    """Whether a consumer has something to read. A client that does not answer counts as behind."""
    try:
        async with asyncio.timeout(LOOK_EVERY_S):
            parts = {part for part in consumer.assignment() if part.partition not in but}  # type: ignore[union-attr]
            ends = await consumer.end_offsets(parts) if parts else {}  # type: ignore[union-attr]
            return any([end != await consumer.position(part) for part, end in ends.items()])  # type: ignore[union-attr]
    except (KafkaError, TimeoutError, AssertionError, AttributeError):
        return True
