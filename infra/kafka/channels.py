"""Kafka topics for FastStream: each is a Channel, declared once. From it come its publisher and its documentation."""

import asyncio
import logging
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker
from faststream.kafka.publisher.producer import AioKafkaFastProducerImpl
from faststream.kafka.publisher.state import RealProducer
from faststream.security import BaseSecurity, SASLScram256

from infra.kafka.client import kafka_arguments
from infra.settings import Settings

if TYPE_CHECKING:
    from faststream.kafka.publisher.usecase import DefaultPublisher
    from faststream.kafka.response import KafkaPublishCommand

log = logging.getLogger(__name__)

DEADLINE_S = 20.0
STOP_S = 3.0


class Outgoing(NamedTuple):
    """A record: its key, value and headers."""

    key: bytes
    value: bytes
    headers: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A topic and what is on it. `title` is its name in the AsyncAPI document, `topic` its name without a prefix.

    `messages`: by CloudEvents type the class of the data: a dataclass, or a pydantic model. `group`: the consumer group
    that reads it, without a prefix. `source`: where its messages come from, as `ce_source` says it.
    """

    title: str
    topic: str
    description: str
    messages: Mapping[str, type]
    group: str = ""
    source: str = ""

    def publisher(self, broker: KafkaBroker, prefix: str) -> "DefaultPublisher":
        """Its publisher at a broker."""
        data = reduce(operator.or_, dict.fromkeys(self.messages.values()))
        return broker.publisher(prefix + self.topic, title=self.title, description=self.description, schema=data)

    def record(
        self, message: Any, type_: str, id_: str, at: datetime | None = None, subject: str | None = None
    ) -> Outgoing:
        """A message, one of `messages`, as CloudEvents 1.0 in binary mode, keyed by its `org`: so in order for each.

        `id_` is the same whenever it is published again. Fields that have their default are left out.
        """
        values = {field.name: getattr(message, field.name) for field in fields(message)}
        defaults = {field.name: field.default for field in fields(message)}
        headers = {
            "ce_specversion": "1.0",
            "ce_id": id_,
            "ce_type": type_,
            "ce_source": self.source,
            "ce_subject": subject,
            "ce_time": at and at.isoformat(),
            "ce_scriporg": message.org,
            "content-type": "application/json",
        }
        return Outgoing(
            message.org.encode(),
            msgspec.json.encode({name: value for name, value in values.items() if value != defaults[name]}),
            {name: text for name, text in headers.items() if text is not None},
        )


class Outlet:
    """Publishes on a channel: in order for each key, at least once. Connects on first use and after every error."""

    def __init__(self, settings: Settings, channel: Channel) -> None:
        self._settings = settings
        self._channel = channel
        self._connected: tuple[KafkaBroker, DefaultPublisher] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Return when all are acknowledged. Raises KafkaError, OSError, TimeoutError: then any of them may be there."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                publisher = await self._publisher()
                sent = [
                    await publisher.publish(value, key=key, headers=headers, no_confirm=True)
                    for key, value, headers in records
                ]
                await asyncio.gather(*sent)
        except BaseException:
            # After an error its sequence numbers may be broken for good (P-35): the next try gets a new one.
            await self.close()
            raise

    async def close(self) -> None:
        """Let the connection go; `publish` makes a new one."""
        connected, self._connected = self._connected, None
        if connected is not None:
            try:
                async with asyncio.timeout(STOP_S):
                    await connected[0].stop()
            except (TimeoutError, KafkaError, OSError):
                pass  # what it still holds is published again by the next one

    async def _publisher(self) -> "DefaultPublisher":
        async with self._one_at_a_time:  # several requests may publish their first record at once
            if self._connected is None:
                broker = kafka_broker(
                    self._settings,
                    log,
                    client_id="scrip-outlet",
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=5,
                    request_timeout_ms=10_000,
                )
                broker.config.broker_config.producer = _AsGiven(None, None)
                self._connected = broker, self._channel.publisher(broker, self._settings.topic_prefix)
                await broker.start()
            return self._connected[1]


class _AsGiven(AioKafkaFastProducerImpl):
    """FastStream's producer, which writes the headers of a record as they are given: its own adds some, in its order.

    A record takes 13 microseconds more of CPU than with aiokafka alone (36 against 23). These topics have some tens of
    records a second; the relay has up to 45,000 events, and uses aiokafka itself (decision 0017).
    """

    async def connect(self, producer: AIOKafkaProducer, *more: Any, **named: Any) -> None:
        self._producer = RealProducer(producer)  # already now: one that cannot start must be closed as well
        await super().connect(producer, *more, **named)

    async def publish(self, cmd: "KafkaPublishCommand") -> Any:
        headers = [(name, text.encode()) for name, text in cmd.headers.items()]
        return await self._producer.producer.send(cmd.destination, cmd.body, key=cmd.key, headers=headers)


def kafka_broker(settings: Settings, logger: logging.Logger, **more: Any) -> KafkaBroker:
    """FastStream's broker, which creates no topics and hands over messages as they are.

    Raises KafkaMisconfigured where the settings cannot work together.
    """
    arguments = kafka_arguments(settings)
    return KafkaBroker(
        arguments["bootstrap_servers"],
        security=_security(arguments),
        allow_auto_create_topics=False,
        apply_types=False,
        logger=logger,
        **more,
    )


def _security(arguments: dict[str, Any]) -> BaseSecurity | None:
    protocol, context = arguments["security_protocol"], arguments.get("ssl_context")
    if protocol.startswith("SASL"):
        return SASLScram256(
            arguments["sasl_plain_username"], arguments["sasl_plain_password"], context, use_ssl=protocol == "SASL_SSL"
        )
    return BaseSecurity(context) if protocol == "SSL" else None
