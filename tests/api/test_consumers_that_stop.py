"""A consumer that makes no progress while records wait is seen everywhere, and so is that it goes on."""

import asyncio
import html
import json
import re
import signal
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr
from typer.testing import CliRunner

from api.operator.watch import Still
from cli.app import app
from infra.kafka.client import kafka_arguments
from infra.kafka.lag import LagReader, Read, Unread
from infra.kafka.topics import INTAKE, USAGE, provision, topic_name
from infra.settings import Settings
from tests.api.service import Service, settings_of
from tests.conftest import PARTITIONS, Database
from tests.console.conftest import csrf_of, with_console
from tests.consumers.test_intake_kafka import process
from tests.consumers.usage_records import metered
from tests.infra.consumer_lag import group_lag
from tests.loopback import caller

DEADLINE_S = 60.0
STALLED_S = 1.0


@pytest.fixture
def settings(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A deployment in which a second without progress is too long."""
    found = settings_of(
        database,
        kafka=kafka,
        topic_prefix=topic_prefix,
        stalled_after_s=STALLED_S,
        session_secret=SecretStr("the key of cookies, at least 32 bytes"),
        development_login=True,
        trust_broker=True,
        partitions=PARTITIONS,
    )
    asyncio.run(provision(found, PARTITIONS))
    return found


def until(what: str, condition: Callable[[], Any]) -> Any:
    """Wait for a condition, at most a minute."""
    deadline = monotonic() + DEADLINE_S
    while monotonic() < deadline:
        if found := condition():
            return found
        sleep(0.1)
    raise AssertionError(f"{what} did not happen within {DEADLINE_S:.0f} s")


async def _send(settings: Settings, ids: list[str], **options: Any) -> None:
    """Events that nobody can pay for, all in partition 3."""
    async with AIOKafkaProducer(**kafka_arguments(settings), **options) as producer:
        for id_ in ids:
            record = metered(id_, 5)
            headers = list(record.headers)
            await producer.send_and_wait(topic_name(settings, USAGE), record.value, partition=3, headers=headers)


def doctor(service: Service, settings: Settings) -> tuple[int, str]:
    """The exit status, and everything that was seen of consumers."""
    secrets = ("writer_url", "reader_url", "auditor_url", "jwt_secret", "fingerprint_secret")
    variables = {f"SCRIP_{name.upper()}": getattr(settings, name).get_secret_value() for name in secrets}
    variables |= {"SCRIP_KAFKA": settings.kafka, "SCRIP_TOPIC_PREFIX": settings.topic_prefix}
    variables |= {"SCRIP_STALLED_AFTER_S": str(STALLED_S), "SCRIP_PARTITIONS": str(PARTITIONS)}
    variables |= {"SCRIP_PORT": service.url.rpartition(":")[2]}
    result = CliRunner().invoke(app, ["doctor", "--json"], env=variables)
    told = json.loads(result.stdout)
    seen = [finding["seen"] for finding in told["findings"] if finding["code"] == "consumer-stalled"]
    return result.exit_code, "; ".join(seen)


def gauge(service: Service, name: str, topic: str, partition: int) -> float:
    """A metric of a partition that the intake reads."""
    text = service.client(None).get("/metrics").text
    found = re.search(rf'^{name}{{group="[^"]+",partition="{partition}",topic="{topic}"}} (\S+)$', text, re.MULTILINE)
    assert found is not None, text
    return float(found[1])


@pytest.fixture
def operator() -> Iterator[Callable[[Service], str]]:
    """The operator's page as the platform's admin sees it."""
    opened: list[httpx.Client] = []

    def page(service: Service) -> str:
        if not opened:
            opened.append(caller(service.url, timeout=20))
            login = {"csrf": csrf_of(opened[0].get("/login").text), "org": "platform", "sub": "op", "role": "admin"}
            assert opened[0].post("/login", data={**login, "next": "/"}).status_code == 303
        return html.unescape(opened[0].get("/operator").text)

    yield page
    for client in opened:
        client.close()


def test_a_stopped_intake_is_seen_everywhere(
    settings: Settings, database: Database, operator: Callable[[Service], str]
) -> None:
    topic, group = topic_name(settings, USAGE), topic_name(settings, INTAKE)

    def decided(count: int) -> bool:
        return sum(asyncio.run(group_lag(settings, group, topic, 20)).values()) == 0 and count > 0

    with process(settings) as intake, with_console(database, settings) as service:
        asyncio.run(_send(settings, ["e1"]))
        until("the first event is decided", lambda: decided(1))
        until("the service is well", lambda: service.client(None).get("/health").json()["status"] == "healthy")
        intake.send_signal(signal.SIGSTOP)
        try:
            asyncio.run(_send(settings, ["e2", "e3"]))
            ill = until("it is unhealthy", lambda: _unhealthy(service))
            (issue,) = ill["issues"]
            assert f"{group} has read nothing of {topic}, partition 3, for " in issue
            assert "while 2 records wait (runbook: consumer-stalled)" in issue
            assert gauge(service, "scrip_consumer_lag_records", topic, 3) == 2
            assert gauge(service, "scrip_consumer_lag_seconds", topic, 3) >= STALLED_S
            assert gauge(service, "scrip_consumer_still_seconds", topic, 3) >= STALLED_S
            assert gauge(service, "scrip_consumer_lag_records", topic, 2) == 0
            figures = service.client("admin", org="platform").get("/api/v1/operations").json()
            assert (figures["consumers"]["status"], figures["consumers"]["stalled"]) == ("act", 1)
            assert [(one["partition"], one["records"]) for one in figures["consumers"]["items"]] == [(3, 2)]
            assert figures["usage"]["message"].startswith(
                "The intake stands still: 2 usage events to apply, the oldest"
            )
            said = f"{group} has read nothing of {topic}, partition 3, for "  # and then the seconds, which grow
            assert said in figures["consumers"]["message"]
            assert said in operator(service)
            status, found = doctor(service, settings)
            assert status == 1
            assert f"{group} does not read {topic}, partition 3: 2 records wait, the oldest for" in found
            assert f"{group} has read nothing of {topic}, partition 3" in found  # the API says so too
        finally:
            intake.send_signal(signal.SIGCONT)
        until("the rest is decided", lambda: decided(2))
        until("the service is well again", lambda: service.client(None).get("/health").json()["status"] == "healthy")
        assert gauge(service, "scrip_consumer_still_seconds", topic, 3) == 0
        assert doctor(service, settings)[1] == ""
        assert "Everything is read." in operator(service)
        assert intake.poll() is None


def _unhealthy(service: Service) -> Any:
    answer = service.client(None).get("/health")
    return answer.json() if answer.status_code == 503 else None


def test_what_ends_a_transaction_is_no_record_that_waits(settings: Settings) -> None:
    topic = topic_name(settings, USAGE)

    async def whole() -> None:
        reader = LagReader(settings, [Read(topic, topic_name(settings, INTAKE))])
        try:
            producer = AIOKafkaProducer(**kafka_arguments(settings), transactional_id=settings.topic_prefix + "worker")
            async with producer:
                async with producer.transaction():
                    await producer.send_and_wait(topic, b"{}", partition=1)
                assert [one for one in await reader.look(20) if one.records] == [
                    Unread(topic, topic_name(settings, INTAKE), 1, -1, 2, pytest.approx(_now_ms(), abs=60_000))  # type: ignore[arg-type]
                ]
                await producer.begin_transaction()
                await producer.send_and_wait(topic, b"{}", partition=2)
                await producer.abort_transaction()
            assert {one.partition: one.records for one in await reader.look(20) if one.records} == {1: 2}
        finally:
            await reader.close()

    asyncio.run(whole())


def _now_ms() -> float:
    from time import time

    return time() * 1000


def test_progress_starts_the_count_again() -> None:
    still = Still()

    def seen(reached: int, records: int, at: float) -> tuple[float, float]:
        (one,) = still.seen([Unread("t", "g", 0, reached, records, 100_000)], at, 130_000)
        return one.seconds, one.still_s

    assert seen(5, 3, 0.0) == (30.0, 0.0)
    assert seen(5, 9, 40.0) == (40.0, 40.0)
    assert seen(6, 8, 50.0) == (30.0, 0.0)  # one further, of many
    assert seen(14, 0, 60.0) == (0.0, 0.0)
    assert seen(14, 0, 600.0) == (0.0, 0.0)
    assert seen(14, 1, 601.0) == (30.0, 0.0)  # it has waited for nothing until now
    assert seen(14, 1, 661.0) == (60.0, 60.0)
