"""What the projector's tests share: a topic filled as the relay does it, and a projector that runs meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cache

import psycopg
from aiokafka import AIOKafkaProducer

from consumers.projector import run_projector
from infra.kafka.client import kafka_arguments
from infra.kafka.record import to_record
from infra.kafka.topics import LEDGER, provision, topic_name
from infra.log.events import LedgerEvent
from infra.settings import Settings
from projections import versions
from tests.conftest import PARTITIONS, Database
from tests.waiting import patient

DEADLINE_S = patient(40.0)


def deployed(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A deployment with its own database and topics."""
    made = Settings(kafka=kafka, topic_prefix=topic_prefix, projector_url=database.projector_uri)  # type: ignore[arg-type]
    asyncio.run(provision(made, PARTITIONS))
    versions.ensure(database.projector_uri)
    log_id(database)  # kept: some tests take the database away
    return made


@cache
def log_id(database: Database) -> str:
    """The id of the database's log."""
    with psycopg.connect(database.auditor_uri) as connection:
        row = connection.execute("select id::text from log").fetchone()
    assert row is not None
    return str(row[0])


async def publish(
    settings: Settings, database: Database, events: Sequence[LedgerEvent], *, abort: bool = False, size: int = 100
) -> None:
    """What the relay does: transactions of some events each, in order."""
    log = log_id(database)
    producer = AIOKafkaProducer(**kafka_arguments(settings), transactional_id=settings.topic_prefix + "test")
    await producer.start()
    try:
        for start in range(0, len(events), size):
            await producer.begin_transaction()
            for event in events[start : start + size]:
                record = to_record(event, log)
                await producer.send(
                    topic_name(settings, LEDGER), record.value, record.key, event.partition, headers=record.headers
                )
            await (producer.abort_transaction() if abort else producer.commit_transaction())
    finally:
        await producer.stop()


def positions(database: Database) -> dict[int, int]:
    """How far each partition is applied."""
    with psycopg.connect(database.auditor_uri) as connection:
        rows = connection.execute("select partition, position from read.checkpoints where position > 0")
        return dict(rows.fetchall())


def last(events: Sequence[LedgerEvent]) -> dict[int, int]:
    """The last position of each partition."""
    return {event.partition: event.position for event in events}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(DEADLINE_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - the condition is another process's
            await asyncio.sleep(0.02)  # between looks at the database


def serving(settings: Settings, scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario beside a projector that is ready."""

    async def go() -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        role = asyncio.create_task(run_projector(settings, stop, ready.set))
        try:
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.wait({role, asyncio.create_task(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
            await scenario()
        finally:
            stop.set()
            await role

    asyncio.run(go())
