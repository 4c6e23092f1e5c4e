"""The intake while its servers are killed: it waits, heals by itself, and nothing is lost or doubled."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.embedded import EmbeddedServers
from infra.kafka.topics import provision
from infra.settings import Settings
from tests.conftest import PARTITIONS, Database, database_of
from tests.consumers.intake_ledger import bench
from tests.consumers.test_intake_kafka import intake, lag, send, until
from tests.consumers.usage_records import metered


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """Servers that may be killed without disturbing other tests."""
    folder: Path = tmp_path_factory.mktemp("faults")
    with EmbeddedServers(folder / "data") as running:
        yield running


@pytest.mark.timeout(240)
def test_it_heals_when_postgres_and_kafka_are_killed(own_servers: EmbeddedServers, topic_prefix: str) -> None:
    for database in database_of(own_servers):
        asyncio.run(_whole(own_servers, database, topic_prefix))


async def _whole(servers: EmbeddedServers, database: Database, topic_prefix: str) -> None:
    values: dict[str, Any] = {"writer_url": database.writer_uri, "kafka": servers.kafka_bootstrap}
    settings = Settings(**values, topic_prefix=topic_prefix, request_deadline_s=5, trust_broker=True)
    await provision(settings, PARTITIONS)
    async with bench(database) as found:
        await found.grant(10**6)
    async with intake(settings):
        count = 0

        async def more() -> None:
            nonlocal count
            await send(settings, [metered(f"e{number}", 1) for number in range(count, count + 2_000)])
            count += 2_000

        await more()
        await asyncio.to_thread(servers.postgres.kill)
        await more()
        await asyncio.to_thread(servers.postgres.start)
        await more()
        await asyncio.to_thread(servers.kafka.kill)
        await asyncio.to_thread(servers.kafka.start)
        await more()

        async def done() -> bool:
            async with bench(database) as found:
                return (await found.account()).debited == count and await lag(settings) == 0

        await until("everything applied", done)
    async with bench(database) as found:
        assert (await found.account()).debited == count
        assert await found.waiting() == {}
