"""Events a second from PostgreSQL to Kafka, beside a raw produce of the same records."""

import asyncio
from time import monotonic

import psycopg
from aiokafka import AIOKafkaProducer

from benchmarks.figures import Figure, Report
from benchmarks.stage import Stage, both_servers
from infra.kafka.client import kafka_arguments
from infra.kafka.record import to_record
from infra.kafka.topics import USAGE
from infra.log.events import LedgerEvent
from infra.log.statements import COLUMNS
from infra.relay.role import relay_of

COMMANDS = 100_000
RAW_TOPIC = USAGE  # any topic with as many partitions serves for the raw produce


def run(report: Report) -> list[Figure]:
    """Relay a log of about 100,000 events over 12 partitions."""
    with both_servers() as stage:
        report(f"filling the log with {COMMANDS:,} commands")
        events = stage.fill(COMMANDS)
        report("raw produce")
        raw = asyncio.run(_raw_produce(stage))
        report("relay")
        relayed = asyncio.run(relay_all(stage, events))
    return [
        Figure("relay", "raw idempotent produce of the same records", raw, "events/s"),
        Figure("relay", "relay, in transactions, read from PostgreSQL", relayed, "events/s"),
        Figure("relay", "relay to raw produce", relayed / raw, "times"),
    ]


async def relay_all(stage: Stage, events: int) -> float:
    """Relay until the topic has `events` events; returns events a second."""
    relay, stop = relay_of(stage.settings()), asyncio.Event()
    started = monotonic()
    task = asyncio.create_task(relay.run(stop))
    while relay.published < events and not task.done():
        await asyncio.sleep(0.01)
    seconds = monotonic() - started
    stop.set()
    await task
    return events / seconds


async def _raw_produce(stage: Stage) -> float:
    with psycopg.connect(stage.owner_uri) as connection:
        rows = connection.execute(f"select {COLUMNS} from events order by partition, position").fetchall()
    records = [to_record(LedgerEvent(*row), "bench") for row in rows]
    producer = AIOKafkaProducer(**kafka_arguments(stage.settings()), enable_idempotence=True, linger_ms=5)
    await producer.start()
    try:
        started = monotonic()
        sent = []
        for row, record in zip(rows, records, strict=True):
            headers = list(record.headers)
            sent.append(await producer.send(RAW_TOPIC, record.value, key=record.key, headers=headers, partition=row[0]))
        await asyncio.gather(*sent)
        return len(sent) / (monotonic() - started)
    finally:
        await producer.stop()
