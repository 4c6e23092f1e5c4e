"""Servers and databases that the tests share: real ones, on free ports and in temporary folders."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infra.embedded import EmbeddedKafka, EmbeddedServers
from infra.postgres.migrations import migrate
from projections.versions import ensure
from tests.cli.shared import SHARED
from tests.order import ONE_SERVICE, SLOW, group, place

pytest_plugins = ["tests.time_limits"]

PARTITIONS = 4
PASSWORD = "for-tests-only"
LOGINS = ("scrip_writer", "scrip_relay", "scrip_projector", "scrip_reader", "scrip_auditor", "scrip_analyst")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--quick`, as `scrip test` has it."""
    parser.addoption("--quick", action="store_true", help="Leave out the files that tests/order.py names as slow.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest files, or leave them out."""
    if config.getoption("--quick"):
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid.startswith(SLOW)])
        items[:] = [item for item in items if not item.nodeid.startswith(SLOW)]
    items.sort(key=lambda item: place(item.nodeid))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the service that tests share after the last of them: idle, it takes a seventh of a core."""
    if nextitem is None or group(nextitem.nodeid) != ONE_SERVICE[0]:
        SHARED.end()


class PatientServers(EmbeddedServers):
    """PostgreSQL, and a broker from the moment that somebody asks for it: idle, it takes 3 % of a core."""

    @property
    def kafka(self) -> EmbeddedKafka:
        """The broker."""
        broker = super().kafka
        broker.start()
        return broker

    def _start_kafka(self) -> None:
        """Wait until it is asked for."""


@dataclass(frozen=True)
class Database:
    """A fresh, migrated database, as each of its logins sees it."""

    owner_uri: str
    writer_uri: str
    relay_uri: str
    projector_uri: str
    reader_uri: str
    auditor_uri: str
    analyst_uri: str = ""


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """PostgreSQL and Kafka for the whole session."""
    folder: Path = tmp_path_factory.mktemp("servers")
    with PatientServers(folder / "data") as running:
        _sign_in_quickly(running.postgres_uri)
        yield running


def _sign_in_quickly(uri: str) -> None:
    """One round of SCRAM for each of many thousand sign-ins, instead of 4,096: 3 ms of the processor."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("alter system set scram_iterations = 1")
        connection.execute("select pg_reload_conf()")
        connection.execute("set scram_iterations = 1")
        owner, password = connection.info.user, connection.info.password
        connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(owner), password))


@pytest.fixture(scope="session")
def kafka(servers: EmbeddedServers) -> str:
    """The broker's address. Tests keep out of each other's way by a topic prefix."""
    return servers.kafka_bootstrap


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that makes a test's topics and groups its own."""
    return f"t{secrets.token_hex(4)}."


@pytest.fixture(scope="session")
def bare_template(servers: EmbeddedServers) -> str:
    """The name of a migrated database without read models: a third of the other's files, so sooner copied."""
    name = f"template_{secrets.token_hex(4)}"
    _migrated(_create(servers, name))
    return name


@pytest.fixture(scope="session")
def template(servers: EmbeddedServers, bare_template: str) -> str:
    """The name of a migrated database that others are copied from, which is much faster than migrating each."""
    name = f"template_{secrets.token_hex(4)}"
    ensure(_create(servers, name, bare_template))
    return name


@pytest.fixture
def database(servers: EmbeddedServers, template: str) -> Iterator[Database]:
    """A fresh database with the schema of this code and a clock that tests may move (`move_clock`)."""
    yield from copy_of(servers, template)


@pytest.fixture(scope="module")
def module_database(servers: EmbeddedServers, template: str) -> Iterator[Database]:
    """The same for a whole module."""
    yield from copy_of(servers, template)


@pytest.fixture(scope="module")
def migrated_database(servers: EmbeddedServers) -> Iterator[Database]:
    """One that was migrated itself, for tests of what belongs to a database and is not copied: its own grants."""
    yield from database_of(servers)


def database_of(servers: EmbeddedServers) -> Iterator[Database]:
    """A fresh database on servers of a test's own, for tests that stop or kill them."""
    name = f"test_{secrets.token_hex(6)}"
    owner = _create(servers, name)
    _migrated(owner)
    ensure(owner)
    yield _as_logins(owner)
    _drop(servers, name)


def copy_of(servers: EmbeddedServers, template: str) -> Iterator[Database]:
    """A copy of a database that nobody is connected to, with a log of its own name."""
    name = f"test_{secrets.token_hex(6)}"
    owner = _create(servers, name, template)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("update log set id = gen_random_uuid()")
    yield _as_logins(owner)
    _drop(servers, name)


def _create(servers: EmbeddedServers, name: str, template: str = "template1") -> str:
    with psycopg.connect(servers.postgres_uri, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        if template != "template1":  # what a database allows is not copied with it
            database = sql.Identifier(name)
            connection.execute(sql.SQL("revoke temporary on database {} from public").format(database))
    return make_conninfo(servers.postgres_uri, dbname=name)


def _drop(servers: EmbeddedServers, name: str) -> None:
    with psycopg.connect(servers.postgres_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _migrated(owner: str) -> None:
    migrate(owner, PARTITIONS)
    with psycopg.connect(owner, autocommit=True) as connection:
        for login in LOGINS:
            connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(login), PASSWORD))
        # The clock of test databases only: the database's own plus an offset that a test sets.
        connection.execute("create table clock_offset (by interval not null)")
        connection.execute("insert into clock_offset values (interval '0')")
        connection.execute("grant select on clock_offset to public")
        connection.execute(
            "create or replace function scrip_now() returns timestamptz language sql volatile"
            " begin atomic select clock_timestamp() + by from public.clock_offset; end"
        )


def _as_logins(owner: str) -> Database:
    return Database(owner, *(make_conninfo(owner, user=login, password=PASSWORD) for login in LOGINS))


def move_clock(database: Database, by: str) -> None:
    """Move a test database's clock forward, for example by `'15 minutes'`."""
    with psycopg.connect(database.owner_uri, autocommit=True) as connection:
        connection.execute("update clock_offset set by = by + %s::interval", (by,))
