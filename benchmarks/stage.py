"""Servers and databases for benchmarks: the embedded ones with their product settings, in a temporary folder."""

import asyncio
import re
import secrets
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, LiteralString

import httpx
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from benchmarks.load import Load
from cli.service.service import Service
from domain.registry import SCRIP
from infra.embedded import DataFolder, EmbeddedPostgres, EmbeddedServers
from infra.kafka.topics import provision
from infra.postgres.migrations import migrate
from infra.settings import Settings
from infra.writer.writer import Writer
from projections.versions import ensure

PARTITIONS = 12
LOOK_S = 0.05
SEEN_WITHIN_S = 600.0
_BEHIND = """
    select coalesce(sum(e.position - coalesce(c.position, 0)), 0) from (
        select partition, max(position) as position from events group by partition
    ) e left join read.checkpoints c using (partition)"""

Role = Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a benchmark runs: the owner's URI of a fresh, migrated database, and the broker where there is one."""

    owner_uri: str
    kafka: str = ""

    def settings(self) -> Settings:
        """Settings for roles that run inside the benchmark's process; each has the owner's login."""
        uri = SecretStr(self.owner_uri)
        return Settings(
            writer_url=uri,
            relay_url=uri,
            projector_url=uri,
            reader_url=uri,
            auditor_url=uri,
            kafka=self.kafka,
            trust_broker=True,  # the events of the benchmark have no credential
            partitions=PARTITIONS,
        )

    def fill(self, commands: int) -> int:
        """Write a log of reserve and capture over 1,000 accounts of 12 organisations; returns its number of events."""
        with Writer(self.owner_uri, SCRIP) as writer:
            Load(writer, 1000, organisations=12).run(commands)
        with psycopg.connect(self.owner_uri) as connection:
            row = connection.execute("select count(*) from events").fetchone()
        return int(row[0]) if row else 0

    async def seconds_until(self, role: Role, query: LiteralString, count: int) -> float:
        """Run a role of the service until the query's number has reached `count`; returns the seconds it took."""
        stop = asyncio.Event()
        started = monotonic()
        task = asyncio.create_task(role(self.settings(), stop))
        async with await psycopg.AsyncConnection.connect(self.owner_uri, autocommit=True) as connection:
            while not task.done():
                row = await (await connection.execute(query)).fetchone()
                if row and row[0] >= count:
                    break
                await asyncio.sleep(LOOK_S)
        seconds = monotonic() - started
        stop.set()
        await task
        return seconds


@contextmanager
def database_only() -> Iterator[Stage]:
    """PostgreSQL alone."""
    with _folder() as folder:
        server = EmbeddedPostgres(DataFolder(folder))
        uri = server.start()
        try:
            yield Stage(fresh_database(uri))
        finally:
            server.stop()


@contextmanager
def both_servers() -> Iterator[Stage]:
    """PostgreSQL and Kafka, with the topics."""
    with _folder() as folder, EmbeddedServers(folder) as servers:
        stage = Stage(fresh_database(servers.postgres_uri), servers.kafka_bootstrap)
        asyncio.run(provision(stage.settings(), PARTITIONS))
        yield stage


@contextmanager
def whole_service(*roles: str) -> Iterator[Service]:
    """The service as `scrip up` runs it, with these roles as processes of their own."""
    with _folder() as folder, Service(folder, roles=roles) as service:
        yield service


def wait_until_projected(settings: Settings) -> None:
    """Return when the read models have every event. Raises RuntimeError when that takes longer than SEEN_WITHIN_S."""
    until = monotonic() + SEEN_WITHIN_S
    with psycopg.connect(settings.auditor_url.get_secret_value(), autocommit=True) as connection:
        while (connection.execute(_BEHIND).fetchone() or (0,))[0]:
            if monotonic() > until:
                raise RuntimeError(f"the read models are not there after {SEEN_WITHIN_S:.0f} s")
            sleep(0.5)


def signed_in(url: str, org: str, sub: str, role: str) -> httpx.Client:
    """A browser that has signed in as in development; the caller closes it. Raises RuntimeError."""
    visitor = httpx.Client(base_url=url, trust_env=False, timeout=60)
    csrf = re.search(r'name="csrf" value="([^"]+)"', visitor.get("/login").text)
    form = {"csrf": csrf[1] if csrf else "", "org": org, "sub": sub, "role": role, "next": "/"}
    answer = visitor.post("/login", data=form)
    if answer.status_code != httpx.codes.SEE_OTHER:
        raise RuntimeError(f"{role} cannot sign in: {answer.status_code}")
    return visitor


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="scrip-bench-") as folder:
        yield Path(folder) / "data"


def fresh_database(uri: str, *, migrated: bool = True) -> str:
    """A new database on the server; with `migrated` it has Scrip's schema. Returns the owner's URI of it."""
    name = f"bench_{secrets.token_hex(4)}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    owner = make_conninfo(uri, dbname=name)
    if migrated:
        migrate(owner, PARTITIONS)
        ensure(owner)
    return owner
