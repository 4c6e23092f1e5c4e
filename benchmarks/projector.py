"""Events a second from Kafka into the read models, beside a raw consume and a raw insert of the same events."""

import asyncio
from time import monotonic

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.figures import Figure, Report
from benchmarks.relay import relay_all
from benchmarks.stage import PARTITIONS, Stage, both_servers
from consumers.projector import run_projector
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import LEDGER

COMMANDS = 100_000
BATCH = 2_000
PROJECTED = "select coalesce(sum(position), 0) from read.checkpoints"


def run(report: Report) -> list[Figure]:
    """Project a topic of about 100,000 events over 12 partitions."""
    with both_servers() as stage:
        report(f"filling the log with {COMMANDS:,} commands")
        events = stage.fill(COMMANDS)
        asyncio.run(relay_all(stage, events))
        report("raw consume")
        consumed = asyncio.run(raw_consume(stage, LEDGER, events))
        report("raw insert")
        inserted = _raw_insert(stage)
        report("projector")
        projected = events / asyncio.run(stage.seconds_until(run_projector, PROJECTED, events))
    return [
        Figure("projector", "raw read_committed consume", consumed, "events/s"),
        Figure("projector", "raw unnest insert into one table", inserted, "events/s"),
        Figure("projector", "projector, all read models", projected, "events/s"),
        Figure("projector", "projector to raw insert", projected / inserted, "times"),
    ]


async def raw_consume(stage: Stage, topic: str, records: int) -> float:
    """Records a second that aiokafka reads from the start of a topic."""
    consumer = AIOKafkaConsumer(
        **kafka_arguments(stage.settings()), isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        started, seen = monotonic(), 0
        while seen < records:
            seen += sum(map(len, (await consumer.getmany(timeout_ms=1000, max_records=BATCH)).values()))
        return seen / (monotonic() - started)
    finally:
        await consumer.stop()


def _raw_insert(stage: Stage) -> float:
    with psycopg.connect(stage.owner_uri) as connection:
        rows = connection.execute("select partition, position, org, stream, data from events").fetchall()
        connection.execute(
            "create table raw (p smallint, n bigint, org text, stream text, data bytea, primary key (p, n))"
        )
        connection.commit()
        started = monotonic()
        for start in range(0, len(rows), BATCH):
            columns = [list(column) for column in zip(*rows[start : start + BATCH], strict=True)]
            connection.execute(
                "insert into raw"
                " select * from unnest(%b::smallint[], %b::bigint[], %b::text[], %b::text[], %b::bytea[])",
                columns,
            )
            connection.commit()
        return len(rows) / (monotonic() - started)
