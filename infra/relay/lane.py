"""One partition's publishing: position from the topic's tail, batch after batch, a new producer after errors."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

import psycopg
import structlog
from aiokafka.errors import (
    CorruptRecordException,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedForMessageFormatError,
)

from infra.kafka.topics import RECORD_BATCH_BYTES, max_message_bytes
from infra.log.events import LedgerEvent
from infra.postgres.lease import LeaseLost
from infra.relay.disagreement import LogGap, TopicDisagrees
from infra.relay.publisher import Publisher
from infra.relay.source import MAX_BYTES, MAX_EVENTS, Source, Stop
from infra.relay.tail import last_published
from infra.waits import set_within

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
GROW_EVERY_S = 30.0  # so often, batches that were made smaller are tried larger: the topic may take more again
ASK_S = 5.0  # for what the topic takes
STANDS_S = 2.0  # with an error; shorter ones are a producer's that is replaced
# The broker's answers that concern the records themselves: the same ones get the same answer again.
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
REFUSALS = (
    *TOO_LARGE, CorruptRecordException, InvalidTimestampError,
    PolicyViolationError, UnsupportedForMessageFormatError, TopicAuthorizationFailedError,
)  # fmt: skip

_log = structlog.get_logger("scrip.relay")


class Lane:
    """A partition on its way from `Source` to the topic; filled by the relay's reader, emptied by `run`.

    `position` is the last one committed to the topic (None until known), `restarts` counts producers thrown away,
    `error` says why the lane does not publish just now ("" while it does): from the first failure until the event that
    it failed at is in the topic.
    """

    def __init__(
        self, source: Source, kafka: Mapping[str, Any], topic: str, prefix: str, partition: int,
        on_change: Callable[[], None],
    ) -> None:  # fmt: skip
        """`on_change` is called whenever the lane has room for more or a new position."""
        self._source = source
        self._log = log = source.log
        self._kafka = kafka
        self._topic = topic
        self._transactional_id = f"{prefix}scrip-relay-{log.id}-{partition}"
        self._on_change = on_change
        self._waiting: list[LedgerEvent] = []
        self._waiting_bytes = 0
        self._filled = asyncio.Event()
        self._stopping = False
        self._read_to: int | None = None
        self.partition = partition
        self.position: int | None = None
        self.published = 0
        self.restarts = 0
        self.error = ""
        self._refused = False
        self._failing_since = 0.0
        self._tried: int | None = None  # the position of the first event that is being published
        self._batch_bytes = RECORD_BATCH_BYTES
        self._grow_at: float | None = None  # no time before a batch of this size was taken

    @property
    def stop_now(self) -> Stop | None:
        """Where and why the lane is stopped; None while it publishes, or probably will within a moment."""
        if not self.error or not (self._refused or monotonic() - self._failing_since >= STANDS_S):
            return None
        position = self._tried or (self.position or 0) + 1
        return Stop(self.partition, position, self.error, self._refused)

    @property
    def wants(self) -> int | None:
        """The position after which the lane takes events now, or None while it has no room or no producer.

        While Kafka writes one batch, events gather for the next: few large transactions cost less than many.
        """
        full = len(self._waiting) >= MAX_EVENTS or self._waiting_bytes >= MAX_BYTES
        return None if full else self._read_to

    def fill(self, after: int, events: Sequence[LedgerEvent]) -> None:
        """Hand over the events that follow position `after`. Ignored where the lane has started again since.

        Raises LogGap.
        """
        if self.wants != after or not events:
            return
        first, last = events[0].position, events[-1].position
        if first != after + 1:
            raise LogGap(self.partition, after + 1, first)
        if last - after != len(events):  # they are ordered and distinct, so the count shows a gap
            raise LogGap(self.partition, after + len(events), last)
        self._waiting += events
        self._waiting_bytes += sum(len(event.data) for event in events)
        self._read_to = last
        self._filled.set()

    def stop(self) -> None:
        """Let `run` return after the transaction under way, or at once where there is none."""
        self._stopping = True
        self._filled.set()

    async def run(self) -> None:
        """Publish until `stop`.

        Heals by itself whatever Kafka does. Raises TopicDisagrees, and what `Source` raises, for both of which
        a new producer is no remedy.
        """
        pause = FIRST_PAUSE_S
        while not self._stopping:
            before = self.published
            # A relay that has lost its lease must not fence the active one.
            await self._source.confirm()
            publisher = Publisher(self._kafka, self._topic, self.partition, self._transactional_id, self._log.id)
            try:
                await publisher.start()
                # From here on, whoever takes over fences this producer. Before, a process that stood still between the
                # two questions may have fenced the new relay's, which it must leave alone from now on.
                await self._source.confirm()
                await self._find_position()
                await self._publish(publisher)
            except (TopicDisagrees, LeaseLost, psycopg.Error):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, a producer that met it is not used again
                self._fail(error)
                # A single event is tried whatever its size, so no smaller batch would help it.
                if isinstance(error, TOO_LARGE) and publisher.tried > 1:
                    await self._shrink()
                if self.published > before:
                    pause = FIRST_PAUSE_S
                await self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            finally:
                self._read_to = None
                self._waiting, self._waiting_bytes = [], 0
                await publisher.discard()

    async def _find_position(self) -> None:
        """Ask the topic where it ends, and make sure that the log says the same."""
        position = await last_published(self._kafka, self._topic, self.partition, self._source, self._log.id)
        self.position = self._read_to = position
        if self._tried is None or position >= self._tried:
            self._goes_on()
        self._on_change()

    async def _publish(self, publisher: Publisher) -> None:
        while True:
            if not self._waiting:
                if self._stopping:
                    return
                self._filled.clear()
                await self._filled.wait()
                continue
            # Room is made before the commit, so that the next events are read while Kafka writes these.
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._on_change()
            while batch and not self._stopping:
                self._tried = batch[0].position
                if self._grow_at is not None and monotonic() >= self._grow_at:
                    await self._grow()
                done = await publisher.publish(batch, self._batch_bytes)
                self.position = batch[done - 1].position
                self._goes_on()
                if self._grow_at is None and self._batch_bytes < RECORD_BATCH_BYTES:
                    self._grow_at = monotonic() + GROW_EVERY_S
                self.published += done
                batch = batch[done:]

    def _goes_on(self) -> None:
        self._tried, self.error, self._refused = None, "", False

    async def _shrink(self) -> None:
        """Make batches as small as the topic wants them."""
        limit, half = await self._topics_limit(), max(self._batch_bytes // 2, 1)
        self._batch_bytes = half if limit is None or limit >= self._batch_bytes else limit
        self._grow_at = None

    async def _grow(self) -> None:
        """Make them as large as the topic takes now; where it does not say so, twice as large as before."""
        limit, double = await self._topics_limit(), 2 * self._batch_bytes
        self._batch_bytes = min(double if limit is None else limit, RECORD_BATCH_BYTES)
        self._grow_at = None

    async def _topics_limit(self) -> int | None:
        """The most bytes of a batch, by the topic's settings; None where they cannot be read."""
        try:
            async with asyncio.timeout(ASK_S):
                return await max_message_bytes(self._kafka, self._topic)
        except Exception as error:  # noqa: BLE001 - then it is found by trying
            _log.warning("relay.limit_unknown", partition=self.partition, error=f"{type(error).__name__}: {error}")
            return None

    def _fail(self, error: Exception) -> None:
        self.restarts += 1
        if not self.error:
            self._failing_since = monotonic()
        self._refused = isinstance(error, REFUSALS)
        self.error = f"{type(error).__name__}: {error}"
        _log.warning("relay.producer_discarded", partition=self.partition, position=self.position, error=self.error)
        self._on_change()

    async def _pause(self, seconds: float) -> None:
        self._filled.clear()
        if self._stopping:
            return
        await set_within(self._filled, seconds)  # `stop` sets it too, which ends the pause early
