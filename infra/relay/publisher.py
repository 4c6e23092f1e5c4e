"""One partition's way into Kafka: transactions of a producer that is thrown away after anything unusual."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from infra.kafka.record import to_record
from infra.kafka.topics import RECORD_BATCH_BYTES
from infra.log.events import LedgerEvent

START_S = 30.0
# Longer, and aiokafka would send the end of a transaction a second time, which could then end the next one (P-36).
TRANSACTION_S = 10.0
STOP_S = 3.0


class Disturbed(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """A request failed on the way and aiokafka repeated it: whether the broker executed the first is unknown."""


class Publisher:
    """A transactional producer for one partition of the topic.

    After any exception out of `start` or `publish` it must be discarded: `publish` may then have taken effect or
    not, which the next publisher's `start` decides for good, and the topic's tail shows.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        topic: str,
        partition: int,
        transactional_id: str,
        log_id: str,
    ) -> None:
        """`kafka` are aiokafka's arguments; nothing happens before `start`."""
        self._topic = topic
        self._partition = partition
        self._log_id = log_id
        self._disturbance: BaseException | None = None
        self._discarded = False
        self.tried = 0
        self._limit: asyncio.Timeout | None = None
        self._producer = AIOKafkaProducer(
            **kafka,
            transactional_id=transactional_id,
            transaction_timeout_ms=int(TRANSACTION_S * 1000),
            retry_backoff_ms=20,  # the coordinator is busy for milliseconds after each commit, not for 100
            acks="all",
        )

    async def start(self) -> None:
        """Fence every older producer of this partition and end its transaction; raises KafkaError, TimeoutError."""
        async with asyncio.timeout(START_S):
            await self._producer.start()
        self._watch()

    async def publish(self, events: Sequence[LedgerEvent], batch_bytes: int = RECORD_BATCH_BYTES) -> int:
        """Commit events, in order, in one transaction and return how many: as many as fit into one record batch.

        `batch_bytes` is the most for several events. One that is larger is tried alone: the broker knows best what it
        takes. `tried` is how many it was, also where they were refused. Raises KafkaError (ProducerFenced: another
        relay took over) and TimeoutError.
        """
        batch = BatchBuilder(batch_bytes, 0, is_transactional=True)
        count = 0
        for event in events:
            key, value, headers = to_record(event, self._log_id)
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                break
            count += 1
        batch.close()
        self.tried = count
        try:
            async with asyncio.timeout(TRANSACTION_S) as self._limit:
                await self._transaction(batch)
        except TimeoutError:
            self._refuse_disturbance()
            raise
        finally:
            self._limit = None
        return count

    async def _transaction(self, batch: Any) -> None:
        self._refuse_disturbance()
        await self._producer.begin_transaction()
        delivered = await self._producer.send_batch(batch, self._topic, partition=self._partition)
        # aiokafka commits a transaction whose batch was refused, and without it (P-34): so ask before.
        await delivered
        self._refuse_disturbance()
        await self._producer.commit_transaction()
        self._refuse_disturbance()

    async def discard(self) -> None:
        """Give up the producer and its connections, within a few seconds and whatever state it is in.

        Nothing that still waits in it is sent any more.
        """
        self._discarded = True
        # The producer's own `stop` would first try to deliver what waits, for as long as the broker is away.
        self._producer._closed = True  # noqa: SLF001 - there is no public way to end it without delivering
        client = self._producer.client
        end_sender = self._producer._sender.close  # noqa: SLF001 - same
        for close in (client.close, end_sender, client.close):
            # What a broken producer has to say while it ends is not news: it was discarded for it.
            with suppress(Exception):
                async with asyncio.timeout(STOP_S):
                    await close()
        self._hear_out()

    def _hear_out(self) -> None:
        """Retrieve the exceptions of the producer's own futures, for which no task waits.

        asyncio would log each of them as an error when the garbage collector finds it.
        """
        accumulator = self._producer._message_accumulator  # noqa: SLF001 - aiokafka does it for its other futures
        waiting = [*accumulator._batches.values(), accumulator._pending_batches]  # noqa: SLF001 - same
        futures = [batch._drain_waiter for batches in waiting for batch in batches]  # noqa: SLF001 - same
        manager = self._producer._txn_manager  # noqa: SLF001 - same
        for future in (*futures, manager._transaction_waiter):  # noqa: SLF001 - same
            if future is not None and future.done() and not future.cancelled():
                future.exception()

    def _watch(self) -> None:
        """Note every failed request, also those that aiokafka repeats without a word."""
        send = self._producer.client.send

        async def watched(*args: Any, **kwargs: Any) -> Any:
            if self._discarded:
                raise KafkaError("the producer was discarded")  # not retriable, so its tasks end
            try:
                return await send(*args, **kwargs)
            except Exception as error:
                self._disturbance = error
                if self._limit is not None and not self._limit.expired():
                    self._limit.reschedule(asyncio.get_running_loop().time())  # no use in waiting any longer
                raise

        self._producer.client.send = watched

    def _refuse_disturbance(self) -> None:
        if self._disturbance is not None:
            raise Disturbed(f"a request failed: {self._disturbance!r}") from self._disturbance
