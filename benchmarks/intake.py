"""Usage events a second from Kafka to debits in the log, beside a raw consume of the same records."""

import asyncio

import msgspec
from aiokafka import AIOKafkaProducer

from benchmarks.figures import Figure, Report
from benchmarks.load import grant, submission, submit_all
from benchmarks.projector import raw_consume
from benchmarks.stage import Stage, both_servers
from cli.importing.send import usage_headers
from consumers.intake.role import run_intake
from consumers.usage import METERED
from domain.registry import SCRIP
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import USAGE
from infra.tuning import tune_interpreter
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
    with Writer(stage.owner_uri, SCRIP) as writer:
        submit_all(writer, [submission(ORG, grant(f"user:u{number}:credits")) for number in range(ACCOUNTS)])


async def _produce(stage: Stage) -> None:
    producer = AIOKafkaProducer(**kafka_arguments(stage.settings()), enable_idempotence=True, linger_ms=5)
    await producer.start()
    try:
        sent = []
        for number in range(EVENTS):
            headers = usage_headers(ORG, SOURCE, str(number), METERED)
            value = msgspec.json.encode({"address": f"user:u{number % ACCOUNTS}:credits", "amount": 1 + number % 50})
            sent.append(await producer.send(USAGE, value=value, headers=headers, key=str(number % ACCOUNTS).encode()))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
