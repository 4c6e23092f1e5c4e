"""The role `scrip intake`: reads `scrip.usage` with FastStream and acknowledges what is decided."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from consumers.intake.batch import Batch, Intake, read_all
from consumers.intake.opening import opened_intake
from consumers.intake.patience import LAST_PAUSE_S, Stopping, until_done
from consumers.intake.record import Record
from consumers.intake.tally import Tally
from consumers.kafka_broker import SUBSCRIBER, as_it_is, consuming_broker, undecoded
from domain.registry import SCRIP
from infra.disk import disk_watch
from infra.kafka_batches import SetAside
from infra.role_metrics import Figure, RoleMetrics, metrics_served
from infra.settings import Settings
from infra.topics import USAGE, topic_name
from infra.unsafe_setting import UnsafeSetting
from infra.waits import set_within
from infra.writer.ledger import Ledger
from infra.writer.metrics import writer_metrics
from infra.writer.writer import Writer

log = logging.getLogger(__name__)

MAX_RECORDS = 1_000
POLL_MS = 20  # FastStream sleeps as long again after a poll without records, so this is also a delay
LOOK_EVERY_S = 5.0
STUCK_AFTER_S = 30.0
COMMIT_DEADLINE_S = 10.0

Records = tuple["ConsumerRecord[bytes, bytes]", ...]


def group_id(settings: Settings) -> str:
    """The consumer group of all intakes of a deployment."""
    return f"{settings.topic_prefix}scrip-intake"


async def run_intake(settings: Settings, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until `stop` is set. `on_ready` is called once, when the first connection to Kafka stands.

    Waits for PostgreSQL and Kafka when they are away, at any time. Raises KafkaMisconfigured for wrong settings,
    UnsafeSetting where no sender could be known.
    """
    _check_senders(settings)
    writer = Writer(settings.writer_url.get_secret_value(), SCRIP, max_batch=MAX_RECORDS, disk=disk_watch(settings))
    ledger = Ledger(writer, deadline_s=settings.request_deadline_s)
    try:
        await until_done("connecting to the log", lambda: asyncio.to_thread(writer.start), stop)
        async with opened_intake(settings, ledger, stop) as intake:
            with metrics_served(settings, intake_metrics(intake.tally, writer)):
                await _serve(settings, Subscription(settings, intake, stop), stop, on_ready)
    except Stopping:
        log.info("the intake stops before it was connected")
    finally:
        await asyncio.to_thread(writer.stop)


def _check_senders(settings: Settings) -> None:
    secrets = (settings.jwt_secret.get_secret_value(), settings.fingerprint_secret.get_secret_value())
    if not (settings.trust_broker or settings.jwks_url or any(secrets)):
        needed = "set (or SCRIP_JWKS_URL), or else SCRIP_TRUST_BROKER=true: without it every usage event is refused"
        raise UnsafeSetting("Scrip", "SCRIP_JWT_SECRET", "empty", needed)


def intake_metrics(tally: Tally, writer: Writer) -> RoleMetrics:
    """What an intake shows of itself."""
    figures = [
        Figure("counter", "scrip_intake_received", "Usage events read.", lambda: tally.received),
        Figure("counter", "scrip_intake_applied", "Usage events applied.", lambda: tally.applied),
        Figure("counter", "scrip_intake_repeated", "Usage events applied before.", lambda: tally.repeated),
        Figure("counter", "scrip_intake_refused", "Usage events refused.", lambda: tally.reasons, "reason"),
    ]
    return RoleMetrics(figures, lambda: writer_metrics(writer))


async def _serve(
    settings: Settings, subscription: "Subscription", stop: asyncio.Event, on_ready: Callable[[], None] | None
) -> None:
    """Subscribe, and again whenever the client no longer gets anywhere (reliability, P-50)."""
    while not stop.is_set():
        broker = consuming_broker(settings, "scrip-intake", log)
        subscription.attach(broker)
        try:
            await until_done("connecting to Kafka", broker.start, stop)
            if on_ready is not None:
                on_ready()
                on_ready = None
            await subscription.watch()
        finally:
            await subscription.settled()
            await broker.stop()
            await subscription.settled()


class Subscription:
    """The FastStream side: batches in, offsets out. Offsets are a hint for speed; what counts is in the ledger."""

    def __init__(self, settings: Settings, intake: Intake, stop: asyncio.Event) -> None:
        self._settings = settings
        self._intake = intake
        self._stop = stop
        self._subscriber: Any = None
        self._moved_at = monotonic()
        self._deciding: asyncio.Task[None] | None = None

    def attach(self, broker: KafkaBroker) -> None:
        """Subscribe the handler to the usage topic."""
        self._subscriber = broker.subscriber(
            topic_name(self._settings, USAGE),
            batch=True,
            max_records=MAX_RECORDS,
            group_id=group_id(self._settings),
            ack_policy=AckPolicy.MANUAL,
            parser=as_it_is,
            decoder=undecoded,
            batch_timeout_ms=POLL_MS,
            fetch_max_wait_ms=100,
            **SUBSCRIBER,
        )
        self._subscriber(self.handle)
        self._moved_at = monotonic()

    async def handle(self, records: Records) -> None:
        """Read a batch while the one before it is decided, then start to decide it.

        Never raises: FastStream would go on to the next batch.
        """
        batch = read_all([_record(record) for record in records])
        await self.settled()
        self._deciding = asyncio.create_task(self._decide(batch, records))

    async def settled(self) -> None:
        """Wait until the batch that is being decided is decided and acknowledged, or left because the role stops."""
        if self._deciding is not None:
            await asyncio.shield(self._deciding)

    async def _decide(self, batch: Batch, records: Records) -> None:
        while True:
            try:
                await self._intake.decide(batch)
                break
            except Stopping:
                return
            except Exception:  # a bug; going on would lose the batch
                log.exception("a batch of usage events failed and is tried again")
                await asyncio.sleep(LAST_PAUSE_S)
        await self._acknowledge(records)
        self._moved_at = monotonic()

    async def watch(self) -> None:
        """Return when the role stops or the consumer is stuck: records lie ahead, but for 30 s none has come."""
        while not self._stop.is_set():
            if not await set_within(self._stop, LOOK_EVERY_S):
                busy = self._deciding is not None and not self._deciding.done()
                if not busy and monotonic() - self._moved_at > STUCK_AFTER_S and await self._behind():
                    log.error("the consumer of usage events is stuck and is replaced")
                    return

    async def _behind(self) -> bool:
        consumer: AIOKafkaConsumer | None = self._subscriber.consumer
        if consumer is None:
            return True
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                assigned = consumer.assignment()
                ends = await consumer.end_offsets(assigned) if assigned else {}
                lag = [end - await consumer.position(part) for part, end in ends.items()]
        except (KafkaError, TimeoutError, AssertionError):
            return True  # a client that cannot even be asked is replaced as well
        self._moved_at = monotonic() if not any(lag) else self._moved_at
        return any(lag)

    async def _acknowledge(self, records: Records) -> None:
        offsets: dict[TopicPartition, int] = {}
        for record in records:
            offsets[TopicPartition(record.topic, record.partition)] = record.offset + 1
        try:
            async with asyncio.timeout(COMMIT_DEADLINE_S):
                await self._subscriber.consumer.commit(offsets)
        except (KafkaError, IllegalStateError, ConsumerStoppedError, TimeoutError, AttributeError) as error:
            # The partition may be another intake's by now; whoever reads the batch again gets the same answers.
            log.info("offsets were not committed: %s", error)


def _record(record: "ConsumerRecord[bytes, bytes]") -> Record:
    if isinstance(record, SetAside):
        return Record((), record.batch, record.place, record.reason)
    headers: Sequence[tuple[str, bytes | None]] = record.headers
    return Record(tuple(headers), record.value, f"{record.topic}/{record.partition}/{record.offset}")
