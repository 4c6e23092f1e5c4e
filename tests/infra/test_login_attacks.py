"""What a login can leave behind or hold, while the writer goes on and the owner starts again."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from cli.doctor.postgres import check_logins
from cli.service.prepare import set_passwords
from consumers.rebuild import rebuild_from
from domain.registry import SCRIP
from infra.embedded import DataFolder, EmbeddedPostgres, EmbeddedServers
from infra.log.statements import NotLocked
from infra.postgres import migrations
from infra.postgres.logins import LOGINS
from infra.postgres.migrations import migrate
from infra.postgres.session import connect_owner
from infra.settings import Settings
from infra.writer.writer import Writer
from projections import versions
from tests.conftest import PARTITIONS, PASSWORD, Database
from tests.infra.login_rights import ANALYST, AUDITOR, PROJECTOR, READER, RELAY, RIGHTS, WRITER
from tests.infra.login_session import one, uri_of
from tests.infra.writer.ledger_kit import accepted, debit, grant, results, submission

# Locks of every kind that a session may try, the first being the one that once stopped all writing.
HOLDING = [
    "select pg_advisory_lock(23585, p) from generate_series(0, 11) p",
    "select pg_advisory_lock(23585, p) from generate_series(0, 511) p",
    *(f"select pg_advisory_lock({key})" for key in (0x5C22_0000, 0x5C22_0001, 0x5C23_0000, 0x5C21_9000)),
    *("select pg_advisory_lock(23586, p) from generate_series(0, 3) p", "select pg_advisory_lock(23585::bigint << 32)"),
    "select partition from partition_locks for update",
    *(
        f"lock table {table} in {mode} mode"
        for table in RIGHTS
        for mode in ("access exclusive", "share", "access share")
    ),
    *(f"select from {table} for share" for table in RIGHTS),
    "declare long cursor with hold for select * from events",
]


@pytest.fixture
def holders(migrated_database: Database) -> Iterator[list[str]]:
    """Every login but the writer holds all that it can get, in a transaction that stays open with its snapshot."""
    names = [name for name in LOGINS if name != WRITER]
    with ExitStack() as stack:
        for name in names:
            holder = stack.enter_context(psycopg.connect(uri_of(migrated_database, name)))
            stack.callback(holder.rollback)
            holder.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            holder.execute("set lock_timeout = '100ms'")
            holder.execute("select count(*) from events")
            for statement in HOLDING:
                try:
                    with holder.transaction():
                        holder.execute(statement)  # type: ignore[arg-type, unused-ignore]
                except (errors.InsufficientPrivilege, errors.LockNotAvailable):
                    continue
        yield names


def test_nobody_holds_up_the_writer(migrated_database: Database, holders: list[str]) -> None:
    with Writer(migrated_database.writer_uri, SCRIP) as writer:
        accepted(writer, grant(10, grant_id="held"))
        accepted(writer, debit("held"))
    assert len(holders) == 5


def test_the_writers_locks_are_the_writers_alone_even_where_postgresql_leaves_functions_open(
    migrated_database: Database,
) -> None:
    """As on a managed PostgreSQL, whose functions its owner cannot close."""
    with connect_owner(migrated_database.owner_uri, "test") as owner:
        owner.execute("grant execute on function pg_advisory_lock(int, int), pg_advisory_lock(bigint) to public")
        try:
            with psycopg.connect(migrated_database.auditor_uri, autocommit=True) as attacker:
                for statement in HOLDING[:2]:
                    attacker.execute(statement)  # type: ignore[arg-type, unused-ignore]
                with Writer(migrated_database.writer_uri, SCRIP) as writer:
                    accepted(writer, grant(10, grant_id="open"))
        finally:
            migrate(migrated_database.owner_uri, PARTITIONS)  # the next start closes them
        assert one(owner, "select count(*) from open_functions()") == 0


def test_a_partition_without_a_lock_is_not_written(migrated_database: Database) -> None:
    """A row that is missing locks nothing, and says nothing either."""
    with (
        connect_owner(migrated_database.owner_uri, "test") as owner,
        Writer(migrated_database.writer_uri, SCRIP) as writer,
    ):
        before = one(owner, "select count(*) from events")
        owner.execute("delete from partition_locks")
        with pytest.raises(NotLocked):
            results(writer, submission(grant(10, grant_id="unlocked")))
        assert one(owner, "select count(*) from events") == before
        migrate(migrated_database.owner_uri, PARTITIONS)
        accepted(writer, grant(10, grant_id="unlocked"))


def test_who_only_reads_does_not_hold_up_a_rebuild_by_locks(migrated_database: Database) -> None:
    """An open transaction of a reader delays the swap, as it does in any database; its time-outs end it."""

    with ExitStack() as stack:
        for name in (READER, AUDITOR, ANALYST, RELAY):
            holder = stack.enter_context(psycopg.connect(uri_of(migrated_database, name), autocommit=True))
            for statement in HOLDING:
                try:
                    holder.execute(statement)  # type: ignore[arg-type, unused-ignore]
                except (errors.InsufficientPrivilege, errors.NoActiveSqlTransaction):
                    continue
        assert rebuild_from(migrated_database.projector_uri).generation > 1


@pytest.fixture
def old(servers: EmbeddedServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database of before migration 0019, in which the projector could still make schemas and functions."""
    name = f"test_{secrets.token_hex(6)}"
    for file in sorted(migrations.SCHEMA.glob("*.sql")):
        if file.name < "0019":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with psycopg.connect(servers.postgres_uri, autocommit=True) as server:
        server.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        owner = make_conninfo(servers.postgres_uri, dbname=name)
        with monkeypatch.context() as before, connect_owner(owner, "test") as connection:
            before.setattr(migrations, "SCHEMA", tmp_path)
            migrations.apply_files(connection)
        set_passwords(owner, dict.fromkeys(LOGINS, PASSWORD))
        yield Database(owner, *(make_conninfo(owner, user=login, password=PASSWORD) for login in LOGINS))
        server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


SCHEMAS = ("postgres", "scrip", "scrip_writer", "scrip_auditor", "read")
TABLES = ("schema_migrations", "log", "events", "read_generation")
PLANTED = """
    create schema if not exists {schema};
    grant all on schema {schema} to public;
    create function {schema}.evil() returns trigger language plpgsql as $$
    begin alter role scrip_projector superuser; return new; end $$;
    create function {schema}.scrip_now() returns timestamptz language sql as 'select to_timestamp(0)'"""
PLANTED_TABLE = """
    create table {schema}.{table} as select * from ({columns}) c where false;
    grant all on {schema}.{table} to public;
    create trigger evil before insert or update on {schema}.{table} for each row execute function {schema}.evil()"""


def plant(uri: str) -> None:
    with psycopg.connect(uri, autocommit=True) as attacker:
        for schema in map(sql.Identifier, SCHEMAS):
            attacker.execute(sql.SQL(PLANTED).format(schema=schema))
            for table in map(sql.Identifier, TABLES):
                columns: sql.Composable = sql.SQL(
                    "select ''::text as name, null::timestamptz as at"
                )  # of what it may not read
                if table != sql.Identifier("schema_migrations"):
                    columns = sql.SQL("select * from public.{}").format(table)
                attacker.execute(sql.SQL(PLANTED_TABLE).format(schema=schema, table=table, columns=columns))


def test_what_the_projector_planted_does_not_run_at_the_next_start(old: Database) -> None:
    """A schema of the owner's name stands first in PostgreSQL's usual search path."""
    plant(old.projector_uri)
    applied = migrate(old.owner_uri, PARTITIONS)
    versions.ensure(old.projector_uri)
    assert "0019_logins.sql" in applied
    with Writer(old.writer_uri, SCRIP) as writer:
        accepted(writer, grant(10))
    with connect_owner(old.owner_uri, "test") as owner:
        for login in LOGINS:
            assert one(owner, "select rolsuper from pg_roles where rolname = %s", login) is False
        assert one(owner, "select count(*) from public.events") == 1
        for schema in SCHEMAS:
            for table in TABLES:
                assert one(owner, f"select count(*) from {schema}.{table}") == 0
    for uri in (old.auditor_uri, old.reader_uri, old.writer_uri, old.relay_uri, old.projector_uri):
        with psycopg.connect(uri) as session:  # also a person's, with what a session begins with
            assert one(session, "select 'events'::regclass = 'public.events'::regclass") is True
    with psycopg.connect(old.projector_uri, autocommit=True) as attacker:
        for statement in ("create schema mine", "alter schema postgres rename to mine", "do $$ begin end $$"):
            with pytest.raises(errors.InsufficientPrivilege):
                attacker.execute(statement)  # type: ignore[arg-type, unused-ignore]


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server on which Scrip's owner is no superuser, as a managed PostgreSQL has it: both their URIs."""
    folder = DataFolder(tmp_path_factory.mktemp("managed") / "data")
    server = EmbeddedPostgres(folder)
    try:
        server.start()
        with psycopg.connect(server.address, autocommit=True) as superuser:
            superuser.execute("create role managed login createrole createdb password 'for-tests-only'")
            superuser.execute("create database scrip owner managed")
        uri = make_conninfo(server.address, dbname="scrip")
        yield make_conninfo(uri, user="managed", password=PASSWORD), uri
    finally:
        server.stop()
        folder.close()


def test_an_owner_that_is_no_superuser(managed: tuple[str, str]) -> None:
    """The migrations do what they can; the doctor tells what is left open, and a superuser's start closes it."""
    owner, superuser = managed
    assert migrate(owner, PARTITIONS)
    assert migrate(owner, PARTITIONS) == []
    set_passwords(owner, dict.fromkeys(LOGINS, PASSWORD))
    uris: dict[str, str] = {login: make_conninfo(owner, user=login, password=PASSWORD) for login in LOGINS}
    versions.ensure(uris[PROJECTOR])
    with psycopg.connect(uris[AUDITOR], autocommit=True) as attacker, Writer(uris[WRITER], SCRIP) as writer:
        attacker.execute(HOLDING[0])
        accepted(writer, grant(10))
    with psycopg.connect(uris[PROJECTOR], autocommit=True) as projector, pytest.raises(errors.InsufficientPrivilege):
        projector.execute("create schema managed")
    findings = [finding.seen for finding in check_logins(Settings(auditor_url=SecretStr(uris[AUDITOR])))]
    assert any("functions of PostgreSQL" in seen for seen in findings)
    assert any(seen.startswith("Temporary files have no bound for scrip_analyst, scrip_auditor") for seen in findings)
    assert any("postgres, template1" in seen for seen in findings)
    migrate(superuser, PARTITIONS)
    assert list(check_logins(Settings(auditor_url=SecretStr(uris[AUDITOR])))) == []
    for database in ("postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(make_conninfo(uris[AUDITOR], dbname=database))


def test_the_doctor_finds_what_a_login_has_set_for_itself(migrated_database: Database) -> None:
    settings = Settings(auditor_url=SecretStr(migrated_database.auditor_uri))
    with psycopg.connect(migrated_database.reader_uri, autocommit=True) as attacker:
        attacker.execute("alter role scrip_reader set row_security = off")
    told = [finding for finding in check_logins(settings) if finding.code == "login-settings"]
    assert [finding.seen for finding in told] == ["Sessions of scrip_reader begin with row_security=off."]
    migrate(migrated_database.owner_uri, PARTITIONS)
    assert [finding for finding in check_logins(settings) if finding.code == "login-settings"] == []
