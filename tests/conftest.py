"""Servers and databases that the tests share: real ones, on free ports and in temporary folders."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infra.embedded import EmbeddedServers
from infra.migrations import migrate
from projections.generations import ensure

PARTITIONS = 4
LOGINS = ("scrip_writer", "scrip_relay", "scrip_projector", "scrip_reader")


@dataclass(frozen=True)
class Database:
    """A fresh, migrated database, as each of its logins sees it."""

    owner_uri: str
    writer_uri: str
    relay_uri: str
    projector_uri: str
    reader_uri: str


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """PostgreSQL and Kafka for the whole session."""
    folder: Path = tmp_path_factory.mktemp("servers")
    with EmbeddedServers(folder / "data") as running:
        yield running


@pytest.fixture(scope="session")
def kafka(servers: EmbeddedServers) -> str:
    """The broker's address. Tests keep out of each other's way by a topic prefix."""
    return servers.kafka_bootstrap


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that makes a test's topics and groups its own."""
    return f"t{secrets.token_hex(4)}."


@pytest.fixture
def database(servers: EmbeddedServers) -> Iterator[Database]:
    """A fresh database with the schema of this code and a clock that tests may move (`move_clock`)."""
    name = f"test_{secrets.token_hex(6)}"
    yield from _database(servers, name)


@pytest.fixture(scope="module")
def module_database(servers: EmbeddedServers) -> Iterator[Database]:
    """The same for a whole module."""
    name = f"test_{secrets.token_hex(6)}"
    yield from _database(servers, name)


def _database(servers: EmbeddedServers, name: str) -> Iterator[Database]:
    with psycopg.connect(servers.postgres_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    owner = make_conninfo(servers.postgres_uri, dbname=name)
    migrate(owner, PARTITIONS)
    ensure(owner)
    password = "for-tests-only"
    with psycopg.connect(owner, autocommit=True) as connection:
        for login in LOGINS:
            connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(login), password))
        # The clock of test databases only: the database's own plus an offset that a test sets.
        connection.execute("create table clock_offset (by interval not null)")
        connection.execute("insert into clock_offset values (interval '0')")
        connection.execute("grant select on clock_offset to public")
        connection.execute(
            "create or replace function scrip_now() returns timestamptz language sql volatile as"
            " 'select clock_timestamp() + by from clock_offset'"
        )
    yield Database(owner, *(make_conninfo(owner, user=login, password=password) for login in LOGINS))
    with psycopg.connect(servers.postgres_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def move_clock(database: Database, by: str) -> None:
    """Move a test database's clock forward, for example by `'15 minutes'`."""
    with psycopg.connect(database.owner_uri, autocommit=True) as connection:
        connection.execute("update clock_offset set by = by + %s::interval", (by,))
