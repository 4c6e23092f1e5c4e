"""The role through a real broker: exactly once with several intakes, kills and rebalances, and nothing lost."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from consumers.intake.record import Record
from consumers.intake.role import run_intake
from infra.kafka.topics import INTAKE, QUARANTINE, USAGE, provision, topic_name
from infra.settings import Settings
from tests.conftest import PARTITIONS, Database
from tests.consumers.intake_ledger import bench
from tests.consumers.usage_records import binary, completed, metered, raw
from tests.waiting import patient

DEADLINE_S = patient(60.0)


@pytest.fixture
def settings(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A deployment of its own on the shared servers, its topics made."""
    values: dict[str, Any] = {"writer_url": database.writer_uri, "kafka": kafka, "topic_prefix": topic_prefix}
    found = Settings(**values, request_deadline_s=5, trust_broker=True)
    asyncio.run(provision(found, PARTITIONS))
    return found


async def send(settings: Settings, records: list[Record]) -> None:
    """Write records to the usage topic."""
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, enable_idempotence=True, linger_ms=5) as producer:
        topic = topic_name(settings, USAGE)
        sent = [
            await producer.send(topic, record.value, key=str(number % 97).encode(), headers=list(record.headers))
            for number, record in enumerate(records)
        ]
        await asyncio.gather(*sent)


async def until(what: str, condition: Callable[[], Awaitable[Any]]) -> Any:
    """Wait for a condition, at most a minute."""
    deadline = monotonic() + DEADLINE_S
    while monotonic() < deadline:
        if found := await condition():
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {DEADLINE_S:.0f} s")


@asynccontextmanager
async def intake(settings: Settings) -> AsyncIterator[None]:
    """The role, running in this process."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run_intake(settings, stop, ready.set))
    try:
        await asyncio.wait_for(ready.wait(), DEADLINE_S)
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, DEADLINE_S)


PROCESS = """
import asyncio, sys
from consumers.intake.role import run_intake
from consumers.subscribing import SUBSCRIBER
from infra.settings import Settings
SUBSCRIBER["session_timeout_ms"] = 6_000  # the least that the broker allows: a killed member is missed sooner
asyncio.run(run_intake(Settings(), asyncio.Event(), lambda: print("ready", flush=True)))
"""


@contextmanager
def process(settings: Settings) -> Iterator["subprocess.Popen[str]"]:
    """The role in a process of its own, which may be killed."""
    variables = {
        "SCRIP_WRITER_URL": settings.writer_url.get_secret_value(),
        "SCRIP_KAFKA": settings.kafka,
        "SCRIP_TOPIC_PREFIX": settings.topic_prefix,
        "SCRIP_TRUST_BROKER": str(settings.trust_broker),
    }
    started = subprocess.Popen(
        [sys.executable, "-c", PROCESS],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait(DEADLINE_S)


async def quarantined(settings: Settings, count: int) -> list[dict[str, Any]]:
    """The first records of the quarantine topic."""
    async with AIOKafkaConsumer(
        topic_name(settings, QUARANTINE), bootstrap_servers=settings.kafka, auto_offset_reset="earliest",
        isolation_level="read_committed",
    ) as consumer:  # fmt: skip
        async with asyncio.timeout(DEADLINE_S):
            return [json.loads((await consumer.getone()).value) for _ in range(count)]


def test_usage_flows_from_the_topic_to_the_ledger(settings: Settings, database: Database) -> None:
    async def whole() -> None:
        async with bench(database) as found, intake(settings):
            await found.grant(100)
            await found.reserve("r1", 10)
            poison = [raw(b"\xff\x00", ("ce_id", b"\xff")), raw(None), raw(b"{}", ("reply_to", b"scrip.ledger"))]
            await send(
                settings,
                [metered("e1", 5), *poison, binary("e2", {"user_id": "u_1", "amount": 7}), completed("e3", "r1")],
            )
            await send(settings, [metered("e4", 500), metered("e1", 5)])

            async def decided() -> bool:
                return (await found.account()).debited == 22 and len(await found.waiting()) == 4

            await until("everything decided", decided)
            records = await quarantined(settings, 4)
            assert sorted(record["reason"] for record in records) == ["insufficient_credits"] + ["not_a_cloudevent"] * 3
            assert all(record["sealed"] and "value" not in record for record in records)

            async def committed() -> bool:
                return await lag(settings) == 0

            await until("all offsets committed", committed)

    asyncio.run(whole())


async def lag(settings: Settings) -> int:
    """Records that the group has not acknowledged."""
    topic = topic_name(settings, USAGE)
    async with AIOKafkaConsumer(topic, bootstrap_servers=settings.kafka, group_id=None) as consumer:
        parts = consumer.assignment() or await _assigned(consumer)
        ends = await consumer.end_offsets(parts)
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, group_id=topic_name(settings, INTAKE), enable_auto_commit=False
    ) as reader:
        reader.assign(list(parts))
        return sum([end - (await reader.committed(part) or 0) for part, end in ends.items()])


async def _assigned(consumer: Any) -> Any:
    async def some() -> Any:
        return consumer.assignment()

    return await until("an assignment", some)


@pytest.mark.timeout(240)
def test_several_intakes_and_kills_apply_everything_once(settings: Settings, database: Database) -> None:
    """Two processes share the topic; each is killed with -9 under load and replaced, which also moves partitions."""

    async def whole() -> None:
        async with bench(database) as found:
            await found.grant(10**9)
            enough = asyncio.Event()
            sending = asyncio.create_task(_load(settings, enough))
            applied = 0
            for _ in range(2):
                with process(settings) as one, process(settings) as other:
                    applied = await _grown(database, applied)
                    one.send_signal(signal.SIGKILL)
                    applied = await _grown(database, applied)
                    other.send_signal(signal.SIGKILL)
            enough.set()
            count = await sending
            async with intake(settings):

                async def done() -> bool:
                    return await _applied(database) == count and await lag(settings) == 0

                await until("everything applied", done)
            assert (await found.account()).debited == count
            assert set((await found.waiting()).values()) == {"malformed_json"}

    asyncio.run(whole())


async def _load(settings: Settings, enough: asyncio.Event) -> int:
    """Send one credit's use after the other until it is enough; every tenth twice, with a poison record between."""
    count = 0
    while not enough.is_set():
        records: list[Record] = []
        for _ in range(200):
            event = metered(f"e{count}", 1)
            records += [event, raw(b"x"), event] if count % 10 == 0 else [event]
            count += 1
        await send(settings, records)
        await asyncio.sleep(0.1)
    return count


async def _grown(database: Database, before: int, by: int = 1_000) -> int:
    async def grown() -> int:
        now = await _applied(database)
        return now if now >= before + by else 0

    return int(await until("progress", grown))


async def _applied(database: Database) -> int:
    def count() -> int:
        with psycopg.connect(database.owner_uri) as connection:
            row = connection.execute("select count(*) from commands where caller like 'usage|%%'").fetchone()
            return int(row[0]) if row else 0

    return await asyncio.to_thread(count)
