"""The role `scrip intake`: reads `scrip.usage` with FastStream and acknowledges what is decided."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import ConsumerRecord
from faststream.kafka import KafkaBroker

from consumers import subscribing
from consumers.intake.batch import Intake, Tally
from consumers.intake.opening import opened_intake
from consumers.intake.record import Record, Rejected, UsageEvent, read_record
from consumers.subscribing import Records, Stopping, Watch, acknowledge, consuming_broker, subscribed, until_done
from consumers.usage import USAGE
from domain.registry import SCRIP
from infra.disk import disk_watch
from infra.kafka.batches import SetAside
from infra.postgres.selfcheck import UnsafeSetting
from infra.role_metrics import Figure, RoleMetrics, metrics_served
from infra.settings import Settings
from infra.waits import set_within
from infra.writer.ledger import Ledger
from infra.writer.metrics import writer_metrics
from infra.writer.writer import Writer

log = logging.getLogger(__name__)

MAX_RECORDS = 1_000
POLL_MS = 20  # FastStream sleeps as long again after a poll without records, so this is also a delay


async def run_intake(settings: Settings, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until `stop` is set. `on_ready` is called once, when the first connection to Kafka is open.

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
        broker = consuming_broker(settings, "scrip-intake", log, stop)
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
        self._watch = Watch()
        self._deciding: asyncio.Task[None] | None = None

    def attach(self, broker: KafkaBroker) -> None:
        reading = {"max_records": MAX_RECORDS, "batch_timeout_ms": POLL_MS, "fetch_max_wait_ms": 100}
        self._subscriber = subscribed(broker, USAGE, self._settings, **reading)
        self._subscriber(self.handle)
        self._watch.moved()

    async def handle(self, records: Records) -> None:
        """Read a batch while the one before it is decided, then start to decide it."""
        items = [read_record(_record(record)) for record in records]
        await self.settled()
        self._deciding = asyncio.create_task(self._decide(items, records))

    async def settled(self) -> None:
        """Wait until the batch that is being decided is decided and acknowledged, or left because the role stops."""
        if self._deciding is not None:
            await asyncio.shield(self._deciding)

    async def _decide(self, items: Sequence[UsageEvent | Rejected], records: Records) -> None:
        with suppress(Stopping):
            await until_done("a batch of usage events", lambda: self._intake.decide(items), self._stop, (Exception,))
            await acknowledge(self._subscriber.consumer, records)
            self._watch.moved()

    async def watch(self) -> None:
        """Return when the role stops or the consumer is stuck: records lie ahead, but for 30 s none has come."""
        while not self._stop.is_set():
            await set_within(self._stop, subscribing.LOOK_EVERY_S)
            busy = self._deciding is not None and not self._deciding.done()
            if not (busy or self._stop.is_set()) and await self._watch.stuck(self._subscriber.consumer):
                log.error("the consumer of usage events is stuck and is replaced")
                return


def _record(record: "ConsumerRecord[bytes, bytes]") -> Record:
    if isinstance(record, SetAside):
        return Record((), record.batch, record.place, record.reason)
    headers: Sequence[tuple[str, bytes | None]] = record.headers
    return Record(tuple(headers), record.value, f"{record.topic}/{record.partition}/{record.offset}")
