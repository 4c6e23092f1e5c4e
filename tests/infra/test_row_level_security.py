"""S1, S3: row-level security on every table with an organisation, tried directly in SQL."""

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from infra.embedded import EmbeddedServers
from infra.postgres import migrations
from infra.postgres.session import connect_owner
from projections import versions
from tests.conftest import LOGINS, Database
from tests.infra.row_filling import OTHER, OWN, Relation, fill, relations

READER, AUDITOR = "scrip_reader", "scrip_auditor"
WRITERS_ALONE = {"public.subject_keys", "public.api_keys", "public.snapshots", "public.request_rates"}
LOG = {"public.events", "public.commands", "public.quarantine"}


@pytest.fixture(scope="module")
def filled(migrated_database: Database) -> Database:
    with psycopg.connect(migrated_database.owner_uri, autocommit=True) as connection:
        fill(connection)
    return migrated_database


def uri_of(database: Database, login: str) -> str:
    uri: str = getattr(database, f"{login.removeprefix('scrip_')}_uri")
    return uri


@pytest.fixture(params=LOGINS)
def login(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def reader(filled: Database) -> Iterator[psycopg.Connection[Any]]:
    """As scrip_reader in a transaction for the organisation OWN."""
    with psycopg.connect(filled.reader_uri) as connection:
        connection.execute("select set_config('scrip.org', %s, true)", (OWN,))
        yield connection
        connection.rollback()


def readable(connection: psycopg.Connection[Any]) -> list[Relation]:
    """What this login has any right to look at."""
    return [
        relation
        for relation in relations(connection)
        if _one(connection, "select has_schema_privilege(%s, 'usage')", relation.schema)
        and _one(connection, "select has_any_column_privilege(%s, 'select')", str(relation))
    ]


def _one(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> Any:
    row = connection.execute(query, parameters).fetchone()  # type: ignore[arg-type, unused-ignore]
    assert row is not None
    return row[0]


def allowed(connection: psycopg.Connection[Any], statements: Sequence[str]) -> list[str]:
    """Those of the statements that are not refused for lack of rights."""
    done = []
    for statement in statements:
        try:
            with connection.transaction():
                connection.execute(statement)  # type: ignore[arg-type, unused-ignore]
        except errors.InsufficientPrivilege:
            continue
        done.append(statement)
    return done


def unprotected(connection: psycopg.Connection[Any]) -> list[str]:
    """What breaks the rule: a table whose rows are not protected, a view that shows what its owner may see."""
    found = []
    for relation in relations(connection):
        policies = connection.execute(
            "select policyname, roles::text[], cmd, qual from pg_policies where schemaname = %s and tablename = %s",
            (relation.schema, relation.name),
        ).fetchall()
        own = [(cmd, qual) for _, roles, cmd, qual in policies if {READER, "public"} & set(roles)]
        safe = relation.protected and relation.forced and len(own) == 1
        safe = safe and own[0] == ("SELECT", "(org = current_setting('scrip.org'::text, true))")
        if relation.kind == "v":
            safe = relation.as_invoker
        if not safe:
            found.append(str(relation))
    return found


def test_every_table_with_an_organisation_is_protected_and_every_view_asks_for_the_invoker(filled: Database) -> None:
    """S1-2."""
    with psycopg.connect(filled.owner_uri) as connection:
        names = {str(relation) for relation in relations(connection)}
        assert names >= LOG | WRITERS_ALONE - {"public.request_rates"} | {"read.balances", "read_g1.balances"}
        assert unprotected(connection) == []
        connection.execute("create table forgotten (org text)")
        assert unprotected(connection) == ["public.forgotten"]  # the walk finds what is forgotten
        connection.execute("select protect_rows('forgotten')")
        assert unprotected(connection) == []
        connection.rollback()


def test_a_new_generation_of_read_models_is_protected_before_anybody_sees_it(filled: Database) -> None:
    with versions.connect(filled.projector_uri, "test") as connection, connection.transaction(force_rollback=True):
        cursor = connection.cursor()
        versions.create_tables(cursor, 99)
        assert unprotected(connection)
        versions.create_keys(cursor, 99)
        assert unprotected(connection) == []
        assert "read_g99.balances" in {str(relation) for relation in relations(connection)}


def test_no_login_is_more_than_it_must_be(filled: Database, login: str) -> None:
    with psycopg.connect(filled.owner_uri) as connection:
        row = connection.execute(
            "select rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication from pg_roles"
            " where rolname = %s",
            (login,),
        ).fetchone()
        assert row == (False,)
        above = connection.execute(
            "select roleid::regrole::text, set_option from pg_auth_members where member = %s::regrole", (login,)
        ).fetchall()
        assert above == ([(AUDITOR, False)] if login == "scrip_analyst" else [])  # reads what it reads, and is not it
        for right in ("public", "read"):
            allowed = login == "scrip_projector" and right == "read"
            assert _one(connection, "select has_schema_privilege(%s, %s, 'create')", login, right) == allowed
        assert not _one(connection, "select has_database_privilege(%s, current_database(), 'temp')", login)
        owned = connection.execute(
            "select distinct n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relowner = %s::regrole and n.nspname !~ '^pg_'",
            (login,),
        ).fetchall()
        assert {name for (name,) in owned} == ({"read", "read_g1"} if login == "scrip_projector" else set())
        assert _one(connection, "select count(*) from pg_proc where proowner = %s::regrole", login) == 0
        assert _one(connection, "select count(*) from pg_proc where prosecdef and proowner <> 10") == 0


def test_the_reader_sees_its_organisation_and_no_other(reader: psycopg.Connection[Any]) -> None:
    """S1-2, S3-6: 403 for another organisation's data; here even for a query that forgot to ask for one."""
    seen = readable(reader)
    assert {str(relation) for relation in seen} >= LOG | {"read.balances", "read_g1.balances", "read.transactions"}
    for relation in seen:
        table = relation.identifier
        for query, expected in (
            ("select distinct org from {}", [(OWN,)]),
            ("select count(org) from {}", [(1,)]),
            ("select min(org), max(org) from {}", [(OWN, OWN)]),
            ("select org from {} where org = 'globex'", []),
            ("select org from {} where org <> 'acme' or true", [(OWN,)]),
            ("select a.org, b.org from {0} a full join {0} b on true", [(OWN, OWN)]),
            ("select exists (select org from {} where org = 'globex')", [(False,)]),
            ("with t as materialized (select org from {}) select org from t", [(OWN,)]),
            ("select org from {} union all select org from {0} where org = 'globex'".replace("{}", "{0}"), [(OWN,)]),
            # A function that is not leakproof must not be asked about rows that are not shown.
            ("select org from {} where 1 / (case org when 'globex' then 0 else 1 end) = 1", [(OWN,)]),
            ("select org from {} order by (org || '')::text desc", [(OWN,)]),
        ):
            statement = sql.SQL(query).format(table)
            assert reader.execute(statement).fetchall() == expected, (str(relation), query)


def test_without_an_organisation_the_reader_sees_nothing(filled: Database) -> None:
    with psycopg.connect(filled.reader_uri, autocommit=True) as connection:
        for setting in (None, "", "*", "acme,globex", OWN.upper(), f"{OWN} ", "%"):
            for relation in readable(connection):
                with connection.transaction():
                    if setting is not None:
                        connection.execute("select set_config('scrip.org', %s, true)", (setting,))
                    count = connection.execute(sql.SQL("select count(org) from {}").format(relation.identifier))
                    assert count.fetchone() == (0,), (str(relation), setting)
        with connection.transaction():  # a transaction's organisation ends with it
            connection.execute("select set_config('scrip.org', %s, true)", (OWN,))
            assert _one(connection, "select count(*) from events") == 1
        assert _one(connection, "select count(*) from events") == 0


BEYOND = [
    "set local row_security = off; select * from events",
    "select * from subject_keys",
    "select * from api_keys",
    "select * from snapshots",
    "select body from quarantine",
    "select * from pg_authid",
    "select * from events for update",
    "create temp view mine as select * from events",
    "create function pg_temp.mine() returns setof events language sql as 'select * from events'",
    "create view read.mine as select * from read_g1.balances",
    "set local role scrip_auditor",
    "set local session authorization scrip_writer",
    "alter role scrip_reader bypassrls",
    "alter table events disable row level security",
    "create policy all_of_it on events to scrip_reader using (true)",
    "alter policy reads_own on events using (true)",
    "select protect_rows('events')",
    "alter view read.balances set (security_invoker = false)",
    "insert into read_g1.balances select * from read_g1.balances",
    "delete from read_g1.balances",
    "select pg_read_file('postgresql.conf')",
    "copy (select 1) to program 'true'",
]


def test_the_reader_gets_no_further(reader: psycopg.Connection[Any]) -> None:
    assert allowed(reader, BEYOND) == []
    with reader.cursor().copy("copy events to stdout") as copy:  # a copy is a select: it shows the own rows
        assert [row[2] for row in copy.rows()] == [OWN]


def test_the_readers_statistics_tell_nothing_of_others(filled: Database, reader: psycopg.Connection[Any]) -> None:
    with psycopg.connect(filled.owner_uri, autocommit=True) as owner:
        owner.execute("analyze")
    names = [relation.name for relation in readable(reader)]
    assert _one(reader, "select count(*) from pg_stats where tablename = any(%s)", names) == 0


@pytest.mark.parametrize("name", ["scrip_writer", "scrip_projector", AUDITOR])
def test_who_serves_all_organisations_sees_them(filled: Database, name: str) -> None:
    with psycopg.connect(uri_of(filled, name)) as connection:
        seen = readable(connection)
        assert {str(relation) for relation in seen} >= {"public.events", "read.balances"}
        for relation in seen:
            found = connection.execute(sql.SQL("select org from {} order by 1").format(relation.identifier)).fetchall()
            assert found == [(OWN,), (OTHER,)], str(relation)


def test_the_relay_sees_events_and_nothing_else_of_anybody(filled: Database) -> None:
    with psycopg.connect(filled.relay_uri) as connection:
        assert [str(relation) for relation in readable(connection)] == ["public.events"]
        assert _one(connection, "select count(*) from events") == 2


def test_the_auditor_reads_and_does_nothing_else(filled: Database) -> None:
    with psycopg.connect(filled.auditor_uri, autocommit=True) as connection:
        tables = connection.execute(
            "select c.oid::regclass::text, n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'v', 'S', 'p') and n.nspname !~ '^(pg_|information_schema$)'"
        ).fetchall()
        assert len(tables) > 15
        for table, schema in tables:
            for right in ("insert", "update", "delete", "truncate", "references", "trigger"):
                held = _one(connection, "select has_table_privilege(%s, %s)", table, right)
                assert not held, (table, right)
            if f"{schema}.{table}" in WRITERS_ALONE:
                assert not _one(connection, "select has_any_column_privilege(%s, 'select')", table), table
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("select body from quarantine")


CHANGES = [
    "update events set actor = 'x'",
    "update events set data = data where false",
    "delete from events",
    "truncate events",
    "truncate events cascade",
    "with gone as (delete from events returning 1) select count(*) from gone",
    "insert into events select * from events on conflict (partition, position) do update set actor = 'x'",
    "merge into events e using (values (1)) v (n) on true when matched then delete",
    "select * from events for update",
    "do $$ begin update events set actor = 'x'; end $$",
    "prepare change as delete from events; execute change",
    "alter table events disable trigger all",
    "alter table events disable row level security",
    "alter table events no force row level security",
    "alter table events owner to current_user",
    "alter table events add column more int",
    "drop trigger events_immutable on events",
    "drop table events cascade",
    "create policy mine on events using (true) with check (true)",
    "drop policy reads_all on events",
    "alter policy reads_all on events to public",
    "create rule mine as on insert to events do instead nothing",
    "create trigger mine before insert on events execute function refuse_change()",
    "create or replace function refuse_change() returns trigger language plpgsql as 'begin return new; end'",
    "create or replace function scrip_now() returns timestamptz language sql as 'select now()'",
    "create function public.mine() returns int security definer language sql as 'select 1'",
    "create temp table mine as select * from events",
    "create view pg_temp.mine as select * from events",
    "create function pg_temp.mine() returns int language sql as 'delete from public.events; select 1'",
    "create index on events (actor)",
    "set session_replication_role = replica",
    "set role postgres",
    "set session authorization postgres",
    "alter role current_user superuser",
    "alter role current_user bypassrls",
    "create role mine superuser",
    "grant postgres to current_user",
    "alter database template1 set row_security = off",
    "comment on table events is 'x'",
    "cluster events using events_pkey",
    "lock table events in access exclusive mode",
    "copy events to program 'true'",
    "select lo_import('/etc/passwd')",
    "select protect_rows('events')",
    *(f"set role {other}" for other in LOGINS),
]


def test_no_login_changes_history_or_what_protects_it(filled: Database, login: str) -> None:
    """Issue 4: the application cannot update or delete events; each login tries it every way there is."""
    with psycopg.connect(uri_of(filled, login)) as connection:
        own_role = f"set role {login}"  # to become oneself changes nothing
        assert allowed(connection, [statement for statement in CHANGES if statement != own_role]) == []
    with psycopg.connect(filled.owner_uri) as owner:
        assert owner.execute("select org, actor from events order by org").fetchall() == [(OWN, "1"), (OTHER, "2")]


def test_the_projector_makes_no_functions_for_others_to_run(filled: Database) -> None:
    """What it owns may be read by the writer: an expression of its own would run with the writer's rights."""
    with psycopg.connect(filled.projector_uri) as connection:
        for language in ("sql", "plpgsql"):
            with pytest.raises(errors.InsufficientPrivilege, match=f"language {language}"):
                connection.execute(f"create function read.mine() returns void language {language} as ''")  # type: ignore[arg-type, unused-ignore]
            connection.rollback()


def test_each_of_the_three_barriers_holds_alone(filled: Database) -> None:
    """Grants, triggers and policies: a deployment that loses two of them by mistake still loses no event."""
    for statement in ("update events set actor = 'x'", "delete from events"):
        with psycopg.connect(filled.owner_uri) as connection:
            connection.execute("grant update, delete, truncate on events to scrip_writer")
            connection.execute("alter table events no force row level security")
            connection.execute("alter table events disable row level security")
            connection.execute("set local role scrip_writer")
            with pytest.raises(errors.InsufficientPrivilege, match="immutable"):  # the trigger
                connection.execute(statement)  # type: ignore[arg-type, unused-ignore]
            connection.rollback()
            connection.execute("grant update, delete on events to scrip_writer")
            connection.execute("alter table events disable trigger all")
            connection.execute("set local role scrip_writer")
            assert connection.execute(statement).rowcount == 0  # type: ignore[arg-type, unused-ignore]  # the policies
            connection.rollback()
            connection.execute("alter table events disable trigger all")
            connection.execute("alter table events disable row level security")
            connection.execute("set local role scrip_writer")
            with pytest.raises(errors.InsufficientPrivilege, match="permission denied"):  # the grants
                connection.execute(statement)  # type: ignore[arg-type, unused-ignore]
            connection.rollback()


def test_read_models_that_exist_already_are_protected_by_the_migration(
    servers: EmbeddedServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that was made before there was row-level security."""
    name = f"test_{secrets.token_hex(6)}"
    files = sorted(migrations.SCHEMA.glob("*.sql"))
    for file in files[:5]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with psycopg.connect(servers.postgres_uri, autocommit=True) as server:
        server.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        uri = make_conninfo(servers.postgres_uri, dbname=name)
        with monkeypatch.context() as before:
            before.setattr(migrations, "SCHEMA", tmp_path)
            with connect_owner(uri, "test") as owner:
                migrations.apply_files(owner)
        with versions.connect(uri, "test") as old:
            old.execute("create schema read_g1")
            old.execute("create table read_g1.balances (org text)")
            old.execute("create table read_g1.checkpoints (partition smallint)")
            old.execute("create view read.balances as select * from read_g1.balances")
            old.execute("create view read.checkpoints as select * from read_g1.checkpoints")
            old.execute("grant select on read.balances, read.checkpoints to scrip_writer, scrip_reader, scrip_relay")
        migrations.migrate(uri, 4)
        with psycopg.connect(uri, autocommit=True) as owner:
            assert unprotected(owner) == []
            owner.execute("insert into read_g1.balances values ('acme'), ('globex')")
            for login, count in ((READER, 1), (AUDITOR, 2), ("scrip_writer", 2)):
                owner.execute(sql.SQL("set role {}").format(sql.Identifier(login)))
                owner.execute("set scrip.org = 'acme'")
                assert _one(owner, "select count(*) from read.balances") == count
                assert _one(owner, "select count(*) from read.checkpoints") == 0
                owner.execute("reset role")
        server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
