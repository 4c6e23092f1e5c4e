"""Each PostgreSQL login does its work and nothing else, tried as each of them."""

import re
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infra.postgres.logins import LOGINS
from infra.postgres.session import connect_owner, options
from tests.conftest import PASSWORD, Database
from tests.infra import login_session
from tests.infra.login_attempts import MAKING, TAKING
from tests.infra.login_rights import ANALYST, AUDITOR, PROJECTOR, READER, RELAY, WRITER
from tests.infra.login_session import Connection, done, one, refused, uri_of
from tests.source_tree import PRODUCT, sources

login, session = login_session.login, login_session.session

# What the projector may after all: it makes the schemas of its generations, and their rows' protection.
BY_RIGHT = {PROJECTOR: {"select make_read_generation(0)"}}
LOCKS = {
    WRITER: {"pg_try_advisory_lock(bigint)", "pg_advisory_xact_lock(bigint)"},
    RELAY: set[str](),
    PROJECTOR: {
        *("pg_advisory_lock(integer,integer)", "pg_try_advisory_lock(integer,integer)"),
        "pg_advisory_unlock(integer,integer)",
    },
    READER: set[str](),
    AUDITOR: set[str](),
    ANALYST: set[str](),
}


def test_a_login_makes_nothing(session: Connection, login: str) -> None:
    assert [statement for statement in MAKING if not refused(session, statement)] == []
    assert (
        session.execute(
            "select * from information_schema.schemata where schema_name in ('mine', 'postgres')"
        ).fetchall()
        == []
    )


def test_a_login_takes_nothing(session: Connection, login: str) -> None:
    others = [
        *(
            f"{text} {other}"
            for other in LOGINS
            if other != login
            for text in ("set role", "set session authorization")
        ),
        *(f"alter role {other} password 'x'" for other in LOGINS if other != login),
        *(f"alter role {other} set search_path = mine" for other in LOGINS if other != login),
        f"alter database {session.info.dbname} set search_path = mine",
        f"alter database {session.info.dbname} set row_security = off",
        f"comment on database {session.info.dbname} is 'x'",
    ]
    assert {statement for statement in TAKING + others if not refused(session, statement)} == BY_RIGHT.get(login, set())


def test_a_login_has_no_others_sessions(session: Connection, login: str, migrated_database: Database) -> None:
    for other in (name for name in LOGINS if name != login):
        with psycopg.connect(uri_of(migrated_database, other), autocommit=True) as victim:
            victim.execute("select 'a text that is nobody''s business'")
            for function in ("pg_terminate_backend", "pg_cancel_backend", "pg_log_backend_memory_contexts"):
                assert not done(session, f"select {function}(%s)", victim.info.backend_pid)
            shown = one(session, "select query from pg_stat_activity where pid = %s", victim.info.backend_pid)
            # People's own login reads what the auditor reads, and so what it asks.
            assert (shown == "<insufficient privilege>") == ((login, other) != (ANALYST, AUDITOR))
            session.rollback()
            assert one(victim, "select 1") == 1


def test_advisory_locks_are_for_those_who_need_one(session: Connection, login: str) -> None:
    functions = session.execute(
        "select p.oid::regprocedure::text, p.pronargs from pg_proc p where p.proname like '%advisory%'"
    ).fetchall()
    assert len(functions) > 20
    may = {name for name, _ in functions if one(session, "select has_function_privilege(%s, 'execute')", name)}
    assert may == LOCKS[login]
    for statement in (
        "select pg_advisory_lock(23585, p) from generate_series(0, 11) p",  # the one that stopped all writing
        *(
            "select pg_advisory_lock(7)",
            "select pg_advisory_xact_lock_shared(7)",
            "select pg_try_advisory_lock_shared(7)",
        ),
        *("select pg_advisory_xact_lock(1, 2)", "select pg_try_advisory_xact_lock(1, 2)"),
    ):
        name = statement.removeprefix("select ").partition("(")[0]
        assert not done(session, statement) or name in " ".join(LOCKS[login]), statement


def test_what_writes_or_runs_text_is_closed(session: Connection) -> None:
    """Also what has no statement above: the catalogue has all of them."""
    rows = session.execute(
        "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and"
        " (proname ~ '^lo_' or proname in ('loread', 'lowrite') or proname ~ '_to_xml')"
        " and proname not like 'xml%' and has_function_privilege(p.oid, 'execute')"
    ).fetchall()
    assert rows == []


def test_no_transaction_outlives_its_session(session: Connection) -> None:
    """A prepared one would keep its locks for ever."""
    assert one(session, "show max_prepared_transactions") == "0"


def test_sequences_are_nobodys(session: Connection) -> None:
    sequences = session.execute("select schemaname || '.' || sequencename from pg_sequences").fetchall()
    assert len(sequences) >= 4
    for (name,) in sequences:
        for call in (f"nextval('{name}')", f"setval('{name}', 1)", f"currval('{name}')"):
            assert not done(session, f"select {call}"), call


def test_what_a_login_leaves_for_itself_is_not_what_our_sessions_begin_with(
    migrated_database: Database, login: str
) -> None:
    """PostgreSQL lets a login set its own password and settings. Ours go before them, and a start takes them back."""
    uri = uri_of(migrated_database, login)
    database = psycopg.conninfo.conninfo_to_dict(uri)["dbname"]
    left = {"search_path": "mine", "row_security": "off", "statement_timeout": "1", "transaction_timeout": "1"}
    with psycopg.connect(uri, autocommit=True) as connection:
        for where in ("", f"in database {database} "):
            for name, value in left.items():
                with connection.transaction():
                    connection.execute(
                        f"set local statement_timeout = 0; alter role {login} {where}set {name} = {value}"
                    )
        connection.execute(sql.SQL("alter role {} password 'mine'").format(sql.Identifier(login)))
    with psycopg.connect(make_conninfo(uri, password="mine"), options=options()) as ours:
        for name in left:
            assert one(ours, "select current_setting(%s)", name) in ("public, pg_temp", "on", "0")
    start_again(migrated_database)
    with psycopg.connect(uri) as connection:
        assert one(connection, "show search_path") == LOGINS[login].settings["search_path"]
        assert one(connection, "show row_security") == "on"
        assert one(connection, "show statement_timeout") == LOGINS[login].settings.get("statement_timeout", "0")


def start_again(database: Database) -> None:
    """What `scrip up` and `scrip prepare` do to the database."""
    from cli.service.prepare import set_passwords
    from infra.postgres.migrations import migrate

    migrate(database.owner_uri, 4)
    set_passwords(database.owner_uri, dict.fromkeys(LOGINS, PASSWORD))


def test_bounds_of_each_login(migrated_database: Database, login: str) -> None:
    with connect_owner(migrated_database.owner_uri, "test") as owner:
        most = int(one(owner, "select rolconnlimit from pg_roles where rolname = %s", login))
        slots = int(one(owner, "show max_connections"))
    assert 5 <= most <= slots // 2
    with psycopg.connect(uri_of(migrated_database, login)) as connection:
        for name, value in LOGINS[login].settings.items():
            assert one(connection, "select current_setting(%s)", name) == value


def test_one_login_cannot_take_all_connections(migrated_database: Database) -> None:
    with ExitStack() as taken:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            take_all(taken, migrated_database.analyst_uri)
        for other in (name for name in LOGINS if name != ANALYST):
            with psycopg.connect(uri_of(migrated_database, other)) as connection:
                assert one(connection, "select 1") == 1


def test_people_with_their_sql_cannot_fill_the_disk(migrated_database: Database) -> None:
    """What all sessions of their login can write at once is bounded, however many connections the server takes."""
    with psycopg.connect(migrated_database.analyst_uri, autocommit=True) as connection:
        of_one = int(one(connection, "select pg_size_bytes(current_setting('temp_file_limit'))"))
        for statement in ("set temp_file_limit = -1", "create temp table t ()"):
            assert refused(connection, statement)
        most = int(one(connection, "select rolconnlimit from pg_roles where rolname = %s", ANALYST))
    assert most * of_one <= 4 << 30
    assert LOGINS[ANALYST].connections_of(10_000) * of_one <= 4 << 30


def take_all(taken: ExitStack, uri: str) -> None:
    for _ in range(100):
        taken.enter_context(psycopg.connect(uri))


def test_functions_have_a_search_path_of_their_own(migrated_database: Database) -> None:
    """Or a body whose names were resolved when it was made."""
    with connect_owner(migrated_database.owner_uri, "test") as owner:
        rows = owner.execute(
            "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
            " where n.nspname !~ '^(pg_|information_schema$)' and p.prosqlbody is null"
            " and not coalesce('search_path=pg_catalog, pg_temp' = any(p.proconfig), false)"
        ).fetchall()
        assert rows == []
        assert one(owner, "show search_path") == "public, pg_temp"
        owner.execute("create function public.later() returns int language sql begin atomic select 1; end")
        assert one(owner, "select has_function_privilege('public', 'later()', 'execute')") is False
        owner.execute("drop function public.later()")


# Where sessions begin otherwise, and why that is safe.
OTHER_BEGINNINGS = {
    "infra/relay/source.py": "it takes the options of the log's sessions (CONNECTED)",
    "infra/postgres/selfcheck.py": "it looks at the session that the login gets, and sets the search path first",
}


def test_every_session_of_the_product_says_how_it_begins() -> None:
    """Else a setting that a login keeps, or a schema of its name, would decide what a query reads."""
    lacking = {
        source.path
        for source in sources(*PRODUCT)
        if source.folder != "benchmarks"
        and re.search(r"(psycopg|Connection)\.connect\(|ConnectionPool\(", source.text)
        and not re.search(r"options\(|OPTIONS", source.text)
    }
    assert lacking == OTHER_BEGINNINGS.keys()
