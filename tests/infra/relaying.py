"""What the relay's tests share: a log filled by hand, a relay that runs meanwhile, and a reader of its topic."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from infra.kafka import topics
from infra.kafka.client import kafka_arguments
from infra.kafka.record import from_record
from infra.log import statements
from infra.log.chain import GENESIS, link_of
from infra.log.events import LedgerEvent
from infra.log.postgres import PostgresLog
from infra.log.statements import Head
from infra.relay import Relay
from infra.settings import Settings
from tests.conftest import PARTITIONS
from tests.waiting import patient

DEADLINE_S = patient(60.0)


def settings_for(relay_uri: str, kafka: str, prefix: str) -> Settings:
    """Settings as the role gets them."""
    return Settings.model_validate({"relay_url": relay_uri, "kafka": kafka, "topic_prefix": prefix})


def deployed(relay_uri: str, kafka: str, prefix: str) -> Settings:
    """The settings of a deployment of its own, whose topics are there."""
    settings = settings_for(relay_uri, kafka, prefix)
    asyncio.run(topics.provision(settings, PARTITIONS))
    return settings


def ledger(settings: Settings) -> str:
    """The ledger's topic."""
    return topics.topic_name(settings, topics.LEDGER)


def head(cursor: psycopg.Cursor[Any], partition: int) -> Head:
    """A partition's last event."""
    row = cursor.execute(statements.HEADS, ([partition],)).fetchone()
    return Head(*row[1:]) if row else Head(0, GENESIS, None)


def following(last: Head, partition: int, count: int, data: bytes = b'{"n":1}') -> list[LedgerEvent]:
    """Events that follow, hashed as the writer does."""
    events = []
    position, digest = last.position, last.hash
    for _ in range(count):
        position += 1
        event = LedgerEvent(
            partition, position, f"org-{partition}", "account/user:u_1:credits", position, "credits-granted.v1",
            f"grant/{position}" if position % 2 else None, "user:ü_42", datetime.now(UTC), data, b"",
        )  # fmt: skip
        digest = link_of(digest, event)
        events.append(event._replace(hash=digest))
    return events


def write(uri: str, partition: int, count: int, data: bytes = b'{"n":1}', hold_s: float = 0.0) -> list[LedgerEvent]:
    """Append events as a writer does, under the partition's lock; the commit comes `hold_s` after the insert."""
    with psycopg.connect(uri, autocommit=True) as connection, connection.transaction(), connection.cursor() as cursor:
        statements.lock(cursor, [partition])
        events = following(head(cursor, partition), partition, count, data)
        PostgresLog.append(cursor, events)
        if hold_s:
            time.sleep(hold_s)
    return events


def stored(uri: str, partition: int) -> list[LedgerEvent]:
    """All events of a partition."""
    with psycopg.connect(uri, autocommit=True, options="-c timezone=UTC") as connection:
        rows = connection.execute(
            f"select {statements.COLUMNS} from events where partition = %s order by position", (partition,)
        ).fetchall()
    return [LedgerEvent._make(row) for row in rows]


async def committed(settings: Settings, partition: int) -> list[LedgerEvent]:
    """The events that a `read_committed` reader sees in a partition of the topic, from its beginning to its end."""
    return [from_record(record) for record in await records_of(settings, partition)]


async def records_of(settings: Settings, partition: int) -> list[ConsumerRecord]:
    """The records that it sees."""
    where = TopicPartition(ledger(settings), partition)
    reader = AIOKafkaConsumer(
        **kafka_arguments(settings),
        isolation_level="read_committed",
        auto_offset_reset="none",
        enable_auto_commit=False,
    )
    await reader.start()
    try:
        reader.assign([where])
        end = (await reader.end_offsets([where]))[where]
        reader.seek(where, 0)
        found: list[ConsumerRecord] = []
        while await reader.position(where) < end:
            for records in (await reader.getmany(where, timeout_ms=200)).values():
                found += records
        return found
    finally:
        await reader.stop()


async def until(true: Callable[[], Any], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:.0f} s: {what}"
        await asyncio.sleep(0.01)


async def published(relay: Relay, partition: int, position: int) -> None:
    """Wait until a relay says that it published up to a position."""
    await until(lambda: relay.positions.get(partition, -1) >= position, f"position {position} of {partition} published")


def new_relay(settings: Settings) -> Relay:
    """A relay as the role makes it."""
    uri = settings.relay_url.get_secret_value()
    return Relay(uri, kafka_arguments(settings), ledger(settings), settings.topic_prefix)


@asynccontextmanager
async def running(settings: Settings, *, wait: bool = True) -> AsyncIterator[Relay]:
    """A relay at work; at the end it is stopped as a deployment stops it."""
    relay = new_relay(settings)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(relay.run(stop, ready.set))
    try:
        if wait:
            await until(lambda: ready.is_set() or task.done(), "the relay is ready")
            if task.done():
                task.result()
        yield relay
    finally:
        stop.set()
        await asyncio.wait_for(task, DEADLINE_S)
