"""Bounds that take more than one request to try, or no request at all."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from api.log import reads as log_reads
from consumers.notifier import refused_checks
from infra.embedded import EmbeddedServers
from infra.relay import source
from tests.api.service import Service, running
from tests.conftest import PARTITIONS, Database, copy_of
from tests.limits.bound import Attacker


@pytest.fixture(scope="module")
def service(module_database: Database) -> Iterator[Service]:
    """A running API."""
    with running(module_database) as made:
        yield made


def test_a_page_of_large_events_ends(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is more than a page may have, so each page has one, and the cursor leads to the next."""
    monkeypatch.setattr(log_reads, "MAX_BYTES", 1)
    attacker = Attacker(service, monkeypatch.setattr)
    for _ in range(3):
        assert attacker.grant("user:u:credits").status_code == 201
    for params in ({"order": "asc"}, {"order": "desc"}, {"order": "desc", "stream": "account/user:u:credits"}):
        positions, cursor = [], None
        for _ in range(5):
            page = attacker.client("auditor").get(
                "/api/v1/events", params=params | ({"cursor": cursor} if cursor else {})
            )
            told = page.json()
            assert len(told["items"]) <= 1
            positions += [item["position"] for item in told["items"]]
            cursor = told["next_cursor"]
            if cursor is None:
                break
        assert len(positions) == 3
        assert positions == sorted(positions, reverse=params["order"] == "desc")


def test_pools(service: Service) -> None:
    made = service.services.database
    assert [pool.max_size for pool in (made.reads, made.reads_all, made.writes)] == [8, 4, 4]
    assert [pool.max_size for pool in (made.text, made.log_reads, made.log_heads)] == [2, 4, 4]
    pools: list[Any] = [made.reads, made.reads_all, made.writes, made.log_reads, made.log_heads]
    for pool in pools:
        with psycopg.connect(pool.conninfo, **pool.kwargs) as connection:
            assert connection.execute("show statement_timeout").fetchone() == ("5s",)


def test_old_refused_checks_go(service: Service) -> None:
    with psycopg.connect(service.database.owner_uri) as connection:
        connection.execute(
            "insert into refused_checks (org, id, at, user_id, operation, reason, deficit, actor)"
            " select 'old', age, scrip_now() - age::interval, 'u', 'chat', 'r', 1, 'user:u'"
            " from (values ('91 days'), ('89 days')) v (age)"
        )

    async def whole() -> None:
        async with AsyncConnectionPool(service.database.writer_uri, min_size=1, max_size=1, open=False) as pool:
            await refused_checks._clean(pool)

    asyncio.run(whole())
    with psycopg.connect(service.database.owner_uri) as connection:
        assert connection.execute("select id from refused_checks where org = 'old'").fetchall() == [("89 days",)]


def test_a_relay_reads_so_much(servers: EmbeddedServers, template: str) -> None:
    """Of many small events so many, of large ones the first that passes the bytes included."""
    fill = (
        "insert into events (partition, position, org, stream, version, type, actor, time, data, hash)"
        " select %s, n, 'acme', 'x/' || %s, n, 'x.v1', 'a', now(), repeat('x', %s)::bytea, repeat('h', 32)::bytea"
        " from generate_series(1, %s) n"
    )
    for database in copy_of(servers, template):
        with psycopg.connect(database.owner_uri, autocommit=True) as connection:
            connection.execute(fill, (0, 0, 1, source.MAX_EVENTS + 5))
            connection.execute(fill, (1, 1, 400_000, 5))
            connection.execute(fill, (2, 2, 3_000_000, 2))
        read = asyncio.run(_read(database.relay_uri))
        assert [len(read[partition]) for partition in (0, 1, 2)] == [source.MAX_EVENTS, 3, 1]


async def _read(relay_uri: str) -> Mapping[int, Sequence[Any]]:
    async with await source.Source.connect(relay_uri) as relay:
        return await relay.after(dict.fromkeys(range(PARTITIONS), 0))
