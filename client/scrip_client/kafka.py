"""Settlement through Kafka: a producer that returns once the broker has the message."""

import asyncio
import logging
from collections.abc import Mapping
from threading import Thread
from typing import Any, Protocol

from scrip_client.steps import Record

_log = logging.getLogger(__name__)

Servers = str | Mapping[str, Any]  # host:port[,host:port], or aiokafka's keyword arguments
STOP_S = 10.0


class NotPublished(Exception):
    """The broker has not acknowledged the message; it may have it."""


class Publisher(Protocol):
    """A way to the usage topic."""

    async def publish(self, record: Record) -> None:
        """Return once the message is kept. Raises NotPublished."""

    async def close(self) -> None:
        """Let the connection go."""


class KafkaPublisher:
    """An aiokafka producer, started with the first message. Copies are harmless: a message's id is its identity."""

    def __init__(self, servers: Servers) -> None:
        """Raises ImportError without the extra `scrip-client[kafka]`."""
        import aiokafka  # noqa: PLC0415 - only those who settle through Kafka have it

        arguments = {"bootstrap_servers": servers} if isinstance(servers, str) else dict(servers)
        self._arguments = {"enable_idempotence": True, "acks": "all", "request_timeout_ms": 10_000} | arguments
        self._make: Any = aiokafka.AIOKafkaProducer
        self._error: type[Exception] = aiokafka.errors.KafkaError
        self._producer: Any = None
        self._starting = asyncio.Lock()

    async def publish(self, record: Record) -> None:
        """Send one message and wait for the acknowledgement of all replicas. Raises NotPublished."""
        try:
            producer = await self._started()
            await producer.send_and_wait(record.topic, record.value, key=record.key, headers=record.headers)
        except (self._error, OSError, TimeoutError) as error:
            await self.close()  # after an error its sequence numbers may be broken; the next message gets a new one
            raise NotPublished(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Stop the producer; a later message starts another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(STOP_S):
                    await producer.stop()
            except (self._error, OSError, TimeoutError) as error:
                _log.warning("the Kafka producer did not stop cleanly: %s", error)

    async def _started(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer = self._make(**self._arguments)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer


class PublisherThread:
    """A publisher for callers that block: its event loop runs in a thread of its own."""

    def __init__(self, publisher: Publisher) -> None:
        """The thread starts at once and ends with `close`."""
        self._publisher = publisher
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="scrip-kafka", daemon=True)
        self._thread.start()

    def publish(self, record: Record) -> None:
        """As Publisher's, from any thread. Raises NotPublished."""
        asyncio.run_coroutine_threadsafe(self._publisher.publish(record), self._loop).result()

    def close(self) -> None:
        """Stop the publisher, then the thread."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._publisher.close(), self._loop).result(2 * STOP_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
            self._loop.close()
