"""What an event that Kafka refuses for its size needs: a topic that takes it. The event itself never changes."""

import asyncio
from typing import Any, NamedTuple

import psycopg
from aiokafka.producer.message_accumulator import BatchBuilder
from psycopg.rows import namedtuple_row

from infra.kafka import topics
from infra.kafka.client import kafka_arguments
from infra.kafka.record import to_record
from infra.kafka.topics import max_message_bytes, set_max_message_bytes
from infra.log.events import LedgerEvent
from infra.log.postgres import PostgresLog
from infra.log.statements import COLUMNS
from infra.postgres.session import options
from infra.settings import Settings

STEP = 1 << 20  # limits are whole mebibytes, so that one event that is a little larger does not need the next change
TOO_LARGE = ("MessageSizeTooLargeError", "RecordListTooLargeError")

_STOPS = """
    select partition, position, reason from relay_stops
    where %(partition)s::int is null or partition = %(partition)s order by partition"""
# One change for all that still waits there.
_LARGEST = f"""
    select {COLUMNS} from events where partition = %s and position >= %s
    order by length(data) desc, position limit 1"""


class Stopped(NamedTuple):
    """A partition that is not published.

    `size`: bytes of the largest event that waits there, as a batch of its own; 0 where size is not the reason.
    """

    partition: int
    position: int
    reason: str
    size: int


class Limits(NamedTuple):
    """What the topic took before and takes now, in bytes."""

    before: int
    now: int


def stopped_partitions(settings: Settings, partition: int | None = None) -> list[Stopped]:
    """The partitions that are stopped, or this one if it is. Raises psycopg.Error."""
    with _connected(settings) as connection:
        found = []
        rows = connection.execute(_STOPS, {"partition": partition}).fetchall()
        for row in rows:
            too_large = row.reason.startswith(TOO_LARGE)
            size = _size_of_largest(connection, row.partition, row.position) if too_large else 0
            found.append(Stopped(row.partition, row.position, row.reason, size))
        return found


def record_batch_bytes(event: LedgerEvent, log_id: str) -> int:
    """The bytes of a batch with nothing but the record of one event, as the relay sends it."""
    batch = BatchBuilder(0, 0, is_transactional=1)
    key, value, headers = to_record(event, log_id)
    batch.append(timestamp=None, key=key, value=value, headers=headers)
    return int(batch.size())


def make_room(settings: Settings, size: int) -> Limits:
    """Let the ledger's topic take batches of `size` bytes; what it takes is only ever raised.

    Raises KafkaError, TimeoutError.
    """

    async def change() -> Limits:
        kafka, topic = kafka_arguments(settings), topics.topic_name(settings, topics.LEDGER)
        async with asyncio.timeout(topics.DEADLINE_S):
            before = await max_message_bytes(kafka, topic)
            if before >= size:
                return Limits(before, before)
            wanted = -(-size // STEP) * STEP
            return Limits(before, await set_max_message_bytes(kafka, topic, wanted, only_raise=True))

    return asyncio.run(change())


def _size_of_largest(connection: psycopg.Connection[Any], partition: int, position: int) -> int:
    event = connection.execute(_LARGEST, (partition, position)).fetchone()
    return record_batch_bytes(LedgerEvent(*event), PostgresLog.within(connection).id) if event is not None else 0


def _connected(settings: Settings) -> psycopg.Connection[Any]:
    return psycopg.connect(
        settings.auditor_url.get_secret_value(),
        autocommit=True,
        connect_timeout=5,
        application_name="scrip unblock",
        options=options("-c statement_timeout=60s"),
        row_factory=namedtuple_row,
    )
