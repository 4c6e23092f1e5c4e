"""Usage events a second from Kafka to debits in the log, beside a raw consume of the same records."""

import asyncio

import msgspec
from aiokafka import AIOKafkaProducer

from benchmarks.figures import Figure, Report
from benchmarks.projector import raw_consume
from benchmarks.stage import Stage, both_servers
from consumers.intake.role import run_intake
from consumers.usage import METERED
from domain.credits.commands import Grant
from domain.registry import SCRIP
from infra.ids import record_id
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import USAGE
from infra.tuning import tune_interpreter
from infra.writer.submission import Submission
from infra.writer.writer import Writer

EVENTS = 60_000
ACCOUNTS = 1_000
ORG = "bench"
SOURCE = "bench"
CHARGED = "select count(*) from events where type = 'credits-debited.v1'"


def run(report: Report) -> list[Figure]:
    """Charge 60,000 metered usage events to 1,000 accounts."""
    tune_interpreter()
    with both_servers() as stage:
        _grant(stage)
        report(f"producing {EVENTS:,} usage events")
        asyncio.run(_produce(stage))
        report("raw consume")
        raw = asyncio.run(raw_consume(stage, USAGE, EVENTS))
        report("intake")
        applied = EVENTS / asyncio.run(stage.seconds_until(run_intake, CHARGED, EVENTS))
    return [
        Figure("intake", "raw read_committed consume", raw, "events/s"),
        Figure("intake", "usage events charged", applied, "events/s"),
    ]


def _grant(stage: Stage) -> None:
    grants = [
        Submission(
            org=ORG,
            command=Grant(address=f"user:u{number}:credits", grant_id=record_id("g"), amount=10**9, source="purchase"),
            actor="bench",
            caller="bench",
        )
        for number in range(ACCOUNTS)
    ]
    with Writer(stage.owner_uri, SCRIP) as writer:
        writer.submit(grants).result()


async def _produce(stage: Stage) -> None:
    producer = AIOKafkaProducer(**kafka_arguments(stage.settings()), enable_idempotence=True, linger_ms=5)
    await producer.start()
    try:
        sent = []
        for number in range(EVENTS):
            headers = [
                ("ce_specversion", b"1.0"),
                ("ce_type", METERED.encode()),
                ("ce_source", SOURCE.encode()),
                ("ce_id", str(number).encode()),
                ("ce_scriporg", ORG.encode()),
                ("content-type", b"application/json"),
            ]
            value = msgspec.json.encode({"address": f"user:u{number % ACCOUNTS}:credits", "amount": 1 + number % 50})
            sent.append(await producer.send(USAGE, value=value, headers=headers, key=str(number % ACCOUNTS).encode()))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
