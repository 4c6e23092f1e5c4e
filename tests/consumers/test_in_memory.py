"""What holds for every subscriber, with FastStream's broker in memory."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError
from faststream.kafka import TestKafkaBroker

from consumers import subscribing
from consumers.intake.record import Rejected, UsageEvent
from consumers.intake.role import Subscription
from consumers.subscribing import Records, Stopping, Watch, consuming_broker, subscribed
from consumers.usage import USAGE
from infra.settings import Settings

SETTINGS = Settings(kafka="nowhere:9092", topic_prefix="t.")
TOPIC = "t." + USAGE.topic
LOG = logging.getLogger("test")

Headers = list[tuple[str, bytes | None]]


def record(offset: int, value: bytes | None = b"{}", headers: Headers | None = None, partition: int = 0) -> Any:
    """A record as aiokafka delivers it."""
    size = len(value or b"")
    return ConsumerRecord(TOPIC, partition, offset, 0, 0, None, value, None, -1, size, headers or [])


def subscribing_in_memory(
    handler: Callable[[Records], Awaitable[None]], scenario: Callable[[Any], Awaitable[None]], stop: asyncio.Event
) -> None:
    """Run a scenario with a subscriber of the usage topic."""

    async def whole() -> None:
        broker = consuming_broker(SETTINGS, "test", LOG, stop)
        subscriber = subscribed(broker, USAGE, SETTINGS)
        subscriber(handler)
        async with TestKafkaBroker(broker):
            await scenario(subscriber)

    asyncio.run(whole())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly any pauses."""
    monkeypatch.setattr(subscribing, "FIRST_PAUSE_S", 0.001)


@pytest.mark.parametrize("fault", [OSError("away"), AssertionError("a bug")], ids=["passing", "a bug"])
def test_a_batch_whose_handler_raises_is_repeated_before_the_next(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """FastStream would log it and go on: the next acknowledgement would be for both."""
    seen: list[int] = []

    async def handler(records: Records) -> None:
        seen.append(records[0].offset)
        if len(seen) < 3:
            raise fault

    async def scenario(subscriber: Any) -> None:
        await subscriber.consume((record(1), record(2)))
        await subscriber.consume((record(3),))

    subscribing_in_memory(handler, scenario, asyncio.Event())
    assert seen == [1, 1, 1, 3]
    assert caplog.text.count("is tried again") == 2


def test_a_batch_is_left_when_the_role_stops() -> None:
    stop = asyncio.Event()

    async def handler(records: Records) -> None:
        stop.set()
        raise OSError("away")

    async def scenario(subscriber: Any) -> None:
        await asyncio.wait_for(subscriber.consume((record(1),)), 10)

    subscribing_in_memory(handler, scenario, stop)


def test_records_come_as_they_are() -> None:
    """FastStream's own parser and decoder would lose the batch to any one of them."""
    strange = (
        record(1, b"\xff\xfe", [("ce_id", b"\xff"), ("ce_id", b"2"), ("correlation_id", None)]),
        record(2, None, [("content-type", b"application/json"), ("reply_to", TOPIC.encode())]),
        record(3, b"no JSON", [("content-type", b"application/json")]),
    )
    seen: list[Any] = []

    async def handler(records: Records) -> None:
        seen.extend(records)

    async def scenario(subscriber: Any) -> None:
        await subscriber.consume(strange)

    subscribing_in_memory(handler, scenario, asyncio.Event())
    assert seen == list(strange)


class Deciding:
    """An intake that decides when it is let."""

    def __init__(self) -> None:
        self.decided: list[int] = []
        self.may = asyncio.Event()
        self.stopping = False

    async def decide(self, items: Sequence[UsageEvent | Rejected]) -> None:
        await self.may.wait()
        if self.stopping:
            raise Stopping
        self.decided.append(len(items))


def intake_in_memory(scenario: Callable[[Any, Deciding, Subscription], Awaitable[None]]) -> None:
    """Run a scenario with the intake's subscription; its consumer is a mock."""

    async def whole() -> None:
        stop, intake = asyncio.Event(), Deciding()
        subscription = Subscription(SETTINGS, intake, stop)  # type: ignore[arg-type]
        broker = consuming_broker(SETTINGS, "test", LOG, stop)
        subscription.attach(broker)
        async with TestKafkaBroker(broker):
            subscriber: Any = broker.subscribers[0]
            subscriber.consumer = AsyncMock()
            await scenario(subscriber, intake, subscription)

    asyncio.run(whole())


def test_usage_is_acknowledged_by_its_offsets_when_it_is_decided() -> None:
    """Never what is read ahead: FastStream's own acknowledgement commits whatever the consumer has fetched (P-49)."""

    async def scenario(subscriber: Any, intake: Deciding, subscription: Subscription) -> None:
        await subscriber.consume((record(4), record(5), record(9, partition=1)))
        ahead = asyncio.create_task(subscriber.consume((record(6),)))
        await asyncio.sleep(0)
        assert not subscriber.consumer.commit.called
        intake.may.set()
        await ahead
        await subscription.settled()
        first, second = [call.args[0] for call in subscriber.consumer.commit.await_args_list]
        assert first == {TopicPartition(TOPIC, 0): 6, TopicPartition(TOPIC, 1): 10}
        assert second == {TopicPartition(TOPIC, 0): 7}
        assert intake.decided == [3, 1]

    intake_in_memory(scenario)


def test_usage_that_is_not_decided_is_not_acknowledged() -> None:
    async def scenario(subscriber: Any, intake: Deciding, subscription: Subscription) -> None:
        intake.stopping = True
        intake.may.set()
        await subscriber.consume((record(4),))
        await subscription.settled()
        assert not subscriber.consumer.commit.called

    intake_in_memory(scenario)


@pytest.mark.parametrize(
    ("ends", "but", "stuck"),
    [
        ({0: 5, 1: 9}, (), True),
        ({0: 5, 1: 8}, (), False),
        ({0: 5, 1: 9}, (1,), False),  # it stands still for a reason of its own
        ({0: 4, 1: 8}, (), True),  # the broker has lost records
        (None, (), True),  # it cannot even be asked
    ],
    ids=["behind", "level", "stopped", "ahead", "away"],
)
def test_a_consumer_is_stuck_when_records_lie_ahead_and_none_comes(
    ends: dict[int, int] | None, but: tuple[int, ...], stuck: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {TopicPartition(TOPIC, 0): 5, TopicPartition(TOPIC, 1): 8}

    async def end_offsets(asked: set[TopicPartition]) -> dict[TopicPartition, int]:
        if ends is None:
            raise KafkaConnectionError
        return {part: ends[part.partition] for part in asked}

    async def position(part: TopicPartition) -> int:
        return parts[part]

    consumer = Mock(assignment=lambda: set(parts), end_offsets=end_offsets, position=position)
    assert not asyncio.run(Watch().stuck(consumer, but)), "it has only begun"
    monkeypatch.setattr(subscribing, "STUCK_AFTER_S", -1.0)
    assert asyncio.run(Watch().stuck(consumer, but)) == stuck
    assert asyncio.run(Watch().stuck(None)), "there is no client"
