"""The schema: applied once, by one process at a time, and what it refuses whoever asks."""

import secrets
from collections.abc import Iterator
from threading import Barrier, Event, Thread

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from domain.registry import SCRIP
from infra.embedded import EmbeddedServers
from infra.postgres import migrations
from infra.postgres.migrations import SCHEMA, migrate
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.infra.writer.ledger_kit import accepted, debit, grant
from tests.waiting import ENOUGH_S, joined

LOGINS = ("writer", "relay", "projector", "reader", "auditor")


@pytest.fixture
def empty(servers: EmbeddedServers) -> Iterator[str]:
    """The owner's URI of a database without any schema."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(servers.postgres_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield make_conninfo(servers.postgres_uri, dbname=name)
    with psycopg.connect(servers.postgres_uri, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def filled(migrated_database: Database) -> Database:
    """A log of two events, for tests that must not be able to change it."""
    with Writer(migrated_database.writer_uri, SCRIP) as writer:
        accepted(writer, grant(10))
        accepted(writer, debit("d-1"))
    return migrated_database


def as_login(database: Database, login: str) -> str:
    uri: str = getattr(database, f"{login}_uri")
    return uri


def test_every_file_is_applied_once_and_in_order(empty: str) -> None:
    names = sorted(file.name for file in SCHEMA.glob("*.sql"))
    assert migrate(empty, 12) == names
    assert migrate(empty, 12) == []
    assert len({name[:4] for name in names}) == len(names)  # two files with one number would have no order


def test_one_that_hangs_with_the_lock_does_not_keep_the_next_one_out(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = Event()

    class Standing:
        name = "9999_stands.sql"

        def glob(self, _pattern: str) -> list["Standing"]:
            monkeypatch.undo()  # for the next one
            return [self]

        def read_bytes(self) -> bytes:
            stands.set()
            goes_on.wait(ENOUGH_S)
            return b"select"

    def hang() -> None:
        with pytest.raises(errors.IdleInTransactionSessionTimeout):
            migrate(empty, 12)

    stands = Event()
    monkeypatch.setattr(migrations, "HANGS", "500ms")
    monkeypatch.setattr(migrations, "SCHEMA", Standing())
    hanging = Thread(target=hang)
    hanging.start()
    assert stands.wait(ENOUGH_S)
    assert migrate(empty, 12)
    goes_on.set()
    joined(hanging)


def test_two_processes_migrate_at_once(empty: str) -> None:
    together = Barrier(3)
    applied: list[str] = []

    def run() -> None:
        together.wait(ENOUGH_S)
        applied.extend(migrate(empty, 12))

    threads = [Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    joined(*threads)
    assert sorted(applied) == sorted(file.name for file in SCHEMA.glob("*.sql"))


def test_the_number_of_partitions_is_fixed_when_the_log_is_made(empty: str) -> None:
    migrate(empty, 7)
    migrate(empty, 12)
    with psycopg.connect(empty) as connection:
        assert connection.execute("select partitions from log").fetchall() == [(7,)]


@pytest.mark.parametrize("partitions", [0, 513, -1])
def test_an_impossible_number_of_partitions_is_refused(empty: str, partitions: int) -> None:
    with pytest.raises(psycopg.Error):
        migrate(empty, partitions)


def test_a_writer_without_a_schema_says_so(empty: str) -> None:
    with pytest.raises(psycopg.Error):
        Writer(empty, SCRIP).start()


@pytest.mark.parametrize(
    "statement",
    [
        "update events set actor = 'x'",
        "delete from events",
        "truncate events",
        "update events set data = data where false",
    ],
)
@pytest.mark.parametrize("login", [*LOGINS, "owner"])
def test_nobody_can_change_history(filled: Database, login: str, statement: str) -> None:
    """S3-5."""
    with psycopg.connect(as_login(filled, login)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize("login", LOGINS)
def test_only_the_writer_appends(filled: Database, login: str) -> None:
    copy = (
        "insert into events select partition, position + 1, org, stream, version + 1, type, tag, actor, time, data,"
        " hash from events order by position desc limit 1"
    )
    with psycopg.connect(as_login(filled, login)) as connection:
        if login == "writer":
            assert connection.execute(copy).rowcount == 1
            connection.rollback()
        else:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(copy)


@pytest.mark.parametrize("table", ["commands", "log"])
def test_the_writer_cannot_take_its_answers_back(filled: Database, table: str) -> None:
    with psycopg.connect(filled.writer_uri) as connection:
        for statement in (f"delete from {table}", f"truncate {table}"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)
            connection.rollback()


@pytest.mark.parametrize("login", ["relay", "projector", "reader", "auditor"])
@pytest.mark.parametrize("table", ["subject_keys", "api_keys"])
def test_keys_are_for_the_writer_alone(filled: Database, login: str, table: str) -> None:
    with psycopg.connect(as_login(filled, login)) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(f"select * from {table}")


def test_a_place_in_the_log_is_given_once(filled: Database) -> None:
    for change in ("position", "version"):  # the other one is moved on, this one is taken
        moved = {"position": "position", "version": "version"}
        moved["version" if change == "position" else "position"] += " + 1"
        with psycopg.connect(filled.writer_uri) as connection, pytest.raises(errors.UniqueViolation):
            connection.execute(
                f"insert into events select partition, {moved['position']}, org, stream, {moved['version']}, type, tag,"
                " actor, time, data, hash from events order by position desc limit 1"
            )


def test_text_keys_do_not_depend_on_the_systems_locale(filled: Database) -> None:
    with psycopg.connect(filled.owner_uri) as connection:
        rows = connection.execute(
            "select c.relname, a.attname, l.collname from pg_index i join pg_class c on c.oid = i.indrelid"
            " join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'"
            " join pg_attribute a on a.attrelid = i.indexrelid join pg_collation l on l.oid = a.attcollation"
            " where l.collname <> 'C' and c.relname in"
            " ('events', 'commands', 'snapshots', 'subject_keys', 'api_keys', 'quarantine')"
        ).fetchall()
    assert rows == []
