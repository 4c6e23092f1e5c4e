"""Each login and each table, compared with the one list of what is allowed (tests/infra/login_rights.py)."""

from projections import versions
from tests.infra import login_session
from tests.infra.login_rights import KINDS, PROJECTOR, READ_MODELS, RIGHTS, columns_allowed, rights_of
from tests.infra.login_session import Connection, done, one

login, session = login_session.login, login_session.session

_COLUMNS = """
    select attname::text from pg_attribute a join pg_class c on c.oid = attrelid
    join pg_namespace n on n.oid = relnamespace where (nspname, relname) = (%s, %s) and attnum > 0 and not attisdropped
        and attidentity = '' and attgenerated = ''"""
_OF_OWNERS = ("truncate {}", "comment on table {} is 'x'", "alter table {} disable row level security", "drop table {}")
_MODES = {"access share": "select", "row exclusive": "insert", "share": "", "access exclusive": ""}  # and what it needs


def test_each_table_as_the_list_says(session: Connection, login: str) -> None:
    tables = one(session, "select array_agg(tablename::text) from pg_tables where schemaname = 'public'")
    assert set(tables) - {"clock_offset"} == RIGHTS.keys()  # the clock is a test's own
    for table, rights in RIGHTS.items():
        check_rights(session, f"public.{table}", rights_of(rights, login))
        assert [text for text in _OF_OWNERS if done(session, text.format(f"public.{table}"))] == [], table


def test_each_read_model_as_the_list_says(session: Connection, login: str) -> None:
    for table in (model.name for model in versions.tables()):
        check_rights(session, f"read_g1.{table}", rights_of(READ_MODELS, login))
        if login != PROJECTOR:  # which owns them
            assert [text for text in _OF_OWNERS if done(session, text.format(f"read_g1.{table}"))] == [], table
            check_rights(session, f"read.{table}", rights_of(READ_MODELS, login))


def check_rights(session: Connection, table: str, rights: str) -> None:
    """Try everything on one table, with statements that find no row. A name in `rights` means: allowed."""
    columns = {name for (name,) in session.execute(_COLUMNS, table.split("."))}
    for kind, statement in (
        ("select", "select {} from {} limit 0"),
        ("update", "update {1} set {0} = null where false"),
    ):
        named = columns_allowed(rights, kind)
        allowed = columns if named is None else named & columns
        assert {name for name in columns if done(session, statement.format(f'"{name}"', table))} == allowed, table
    assert done(session, f"insert into {table} default values") == ("insert" in rights), table
    assert done(session, f"delete from {table} where false") == ("delete" in rights), table
    whole = {kind for kind in KINDS if columns_allowed(rights, kind) is None}
    for mode, needs in _MODES.items():
        may = whole & {"update", "delete", needs}
        assert done(session, f"lock table {table} in {mode} mode") == bool(may), (table, mode)
    may_lock = "select" in whole and columns_allowed(rights, "update") != set()
    for lock in ("update", "no key update", "share", "key share"):
        assert done(session, f"select from {table} for {lock}") == may_lock, (table, lock)
