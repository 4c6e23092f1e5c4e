"""The relay under faults: kill -9 of itself, of the broker and of the database, lost answers, a zombie's return."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import EndTxnRequest
from psycopg.conninfo import conninfo_to_dict

from infra.embedded import EmbeddedServers
from infra.kafka.client import kafka_arguments
from infra.settings import Settings
from tests.conftest import PARTITIONS, Database, copy_of, database_of
from tests.infra.relaying import DEADLINE_S, committed, deployed, ledger, published, running, stored, until, write
from tests.waiting import ENOUGH_S

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """Servers that nobody else relies on while they are killed."""
    with EmbeddedServers(tmp_path_factory.mktemp("killed") / "data") as servers:
        yield servers


@pytest.fixture(scope="module")
def own_database(own_servers: EmbeddedServers) -> Iterator[Database]:
    """A migrated database on them."""
    yield from database_of(own_servers)


@pytest.fixture
def log(own_servers: EmbeddedServers, own_database: Database) -> Iterator[Database]:
    """A copy of it for each test."""
    yield from copy_of(own_servers, str(conninfo_to_dict(own_database.owner_uri)["dbname"]))


@pytest.fixture
def settings(own_servers: EmbeddedServers, log: Database, topic_prefix: str) -> Settings:
    """A deployment on them, with its topics."""
    return deployed(log.relay_uri, own_servers.kafka_bootstrap, topic_prefix)


@contextmanager
def relay_process(settings: Settings, where: str) -> Iterator[subprocess.Popen[bytes]]:
    """A relay in another process, gone at the end."""
    uri = settings.relay_url.get_secret_value()
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.infra.relay_process", uri, settings.kafka, settings.topic_prefix, where],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait(ENOUGH_S)


async def same(log: Database, settings: Settings) -> None:
    """The topic holds what the log holds."""
    for partition in range(PARTITIONS):
        assert await committed(settings, partition) == stored(log.owner_uri, partition)


async def at_least(settings: Settings, events: int) -> None:
    """Wait until so many events are in partition 0 of the topic."""
    where = TopicPartition(ledger(settings), 0)
    reader = AIOKafkaConsumer(**kafka_arguments(settings), isolation_level="read_committed", enable_auto_commit=False)
    async with asyncio.timeout(DEADLINE_S), reader:
        reader.assign([where])
        await reader.seek_to_beginning(where)
        seen = 0
        while seen < events:
            seen += sum(map(len, (await reader.getmany(where, timeout_ms=200)).values()))


@pytest.mark.parametrize("where", ["before-commit", "after-commit"])
def test_kill_9_at_the_commit(log: Database, settings: Settings, where: str) -> None:
    for partition in range(PARTITIONS):
        write(log.writer_uri, partition, 5_000)
    with relay_process(settings, where) as child:
        assert child.wait(60) == -signal.SIGKILL

    async def steps() -> None:
        before = len(await committed(settings, 0))
        assert 0 < before < 5_000
        async with running(settings) as relay:
            for partition in range(PARTITIONS):
                await published(relay, partition, 5_000)
        await same(log, settings)

    asyncio.run(steps())


@pytest.mark.parametrize("request_type", [EndTxnRequest, ProduceRequest])
def test_an_answer_that_is_lost(
    log: Database, settings: Settings, request_type: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker has done what it was asked, the relay cannot know: it reads the topic before it goes on."""
    send = AIOKafkaClient.send
    lost = 0

    async def losing(client: AIOKafkaClient, node: int, request: Any, **more: Any) -> Any:
        nonlocal lost
        answer = await send(client, node, request, **more)
        if isinstance(request, request_type) and lost < 3:
            lost += 1
            raise KafkaConnectionError("the answer was lost")
        return answer

    monkeypatch.setattr(AIOKafkaClient, "send", losing)

    async def steps() -> None:
        async with running(settings) as relay:
            for total in (10, 20, 30, 40, 50):
                write(log.writer_uri, 0, 10)
                await published(relay, 0, total)
            assert lost == 3
            assert relay.restarts >= 1
        await same(log, settings)

    asyncio.run(steps())


def test_a_commit_that_is_never_answered(log: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    send = AIOKafkaClient.send
    swallowed = 0

    async def swallowing(client: AIOKafkaClient, node: int, request: Any, **more: Any) -> Any:
        nonlocal swallowed
        if isinstance(request, EndTxnRequest) and swallowed < 1:
            swallowed += 1
            await asyncio.Event().wait()
        return await send(client, node, request, **more)

    monkeypatch.setattr(AIOKafkaClient, "send", swallowing)
    monkeypatch.setattr("infra.relay.publisher.TRANSACTION_S", 1.0)
    write(log.writer_uri, 0, 10)

    async def steps() -> None:
        async with running(settings) as relay:
            await published(relay, 0, 10)
            assert (swallowed, relay.restarts) == (1, 1)
        await same(log, settings)

    asyncio.run(steps())


def test_the_broker_is_killed_and_comes_back(own_servers: EmbeddedServers, log: Database, settings: Settings) -> None:
    async def steps() -> None:
        async with running(settings) as relay:
            for round_ in range(2):
                for partition in range(PARTITIONS):
                    write(log.writer_uri, partition, 3_000)
                await until(lambda n=relay.published: relay.published > n, "under way")  # type: ignore[misc]
                await asyncio.to_thread(own_servers.kafka.kill)
                write(log.writer_uri, 1, 500)
                await asyncio.to_thread(own_servers.kafka.start)
                for partition in range(PARTITIONS):
                    total = 3_000 * (round_ + 1) + (500 * (round_ + 1) if partition == 1 else 0)
                    await published(relay, partition, total)
            await until(lambda: not relay.errors, "no partition complains any more")
        await until(lambda: len(asyncio.all_tasks()) == 1, "nothing of the discarded producers is left")
        await same(log, settings)

    asyncio.run(steps())


def test_the_database_is_killed_and_comes_back(own_servers: EmbeddedServers, log: Database, settings: Settings) -> None:
    async def steps() -> None:
        async with running(settings) as relay:
            for partition in range(PARTITIONS):
                write(log.writer_uri, partition, 3_000)
            await until(lambda: relay.published > 0, "under way")
            await asyncio.to_thread(own_servers.postgres.kill)
            await asyncio.to_thread(own_servers.postgres.start)
            write(log.writer_uri, 0, 100)
            await published(relay, 0, 3_100)
            for partition in range(1, PARTITIONS):
                await published(relay, partition, 3_000)
        await same(log, settings)

    asyncio.run(steps())


def test_a_suspended_relay_comes_back_as_a_zombie(log: Database, settings: Settings) -> None:
    """Its sessions are gone, it does not know; its producers are fenced, and it becomes the standby."""

    def at_work() -> list[tuple[int]]:
        with psycopg.connect(log.owner_uri, autocommit=True) as connection:
            return connection.execute(
                "select session from leases join pg_stat_activity on pid = session where name = 'relay'"
            ).fetchall()

    async def steps() -> None:
        write(log.writer_uri, 0, 20_000)
        with relay_process(settings, "never") as zombie:
            await until(at_work, "the other process has the lease")
            await at_least(settings, 1)
            zombie.send_signal(signal.SIGSTOP)
            with psycopg.connect(log.owner_uri, autocommit=True) as connection:
                connection.execute("select pg_terminate_backend(%s)", (at_work()[0][0],))
            async with running(settings) as relay:
                await published(relay, 0, 20_000)
                zombie.send_signal(signal.SIGCONT)
                write(log.writer_uri, 0, 1_000)
                await published(relay, 0, 21_000)
            await until(at_work, "the zombie is the active relay again")
            write(log.writer_uri, 0, 100)
            await at_least(settings, 21_100)
            assert zombie.poll() is None
        await same(log, settings)

    asyncio.run(steps())
