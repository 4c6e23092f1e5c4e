"""What psql and other tools see of the read models: their views, and what each view and column is."""

import psycopg
import pytest

from projections.versions import ensure, tables
from tests.conftest import Database

TABLES = {model.name for model in tables()}
COMMENTS = """
    select c.relname, a.attname, obj_description(c.oid, 'pg_class'), col_description(c.oid, a.attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    where c.relnamespace = 'read'::regnamespace"""


def comments(uri: str) -> dict[str, dict[str, str | None]]:
    """The comments of each view by column, the view's own under the empty name."""
    found: dict[str, dict[str, str | None]] = {}
    with psycopg.connect(uri) as connection:
        for view, column, whole, about in connection.execute(COMMENTS).fetchall():
            found.setdefault(view, {"": whole})[column] = about
    return found


@pytest.mark.parametrize("login", ["reader_uri", "auditor_uri"])
def test_who_may_only_read_sees_the_read_models_by_their_names(migrated_database: Database, login: str) -> None:
    with psycopg.connect(getattr(migrated_database, login)) as connection:
        visible = connection.execute("select relname from pg_class where relkind = 'v' and pg_table_is_visible(oid)")
        assert {name for (name,) in visible.fetchall()} >= TABLES
        assert connection.execute("select count(*) from balances").fetchone() == (0,)
        assert connection.execute("select count(*) from events").fetchone() == (0,)  # the log, as before


def test_every_view_says_what_it_is(migrated_database: Database) -> None:
    found = comments(migrated_database.auditor_uri)
    assert set(found) == {*TABLES, "usage_daily"}
    assert [view for view, said in found.items() if len(said[""] or "") < 40] == []
    assert "still owed" in (found["balances"]["shortfall"] or "")
    assert "`" in (found["transactions"][""] or "")


def test_a_log_from_before_gets_its_comments_at_the_next_start(migrated_database: Database) -> None:
    before = comments(migrated_database.auditor_uri)
    with psycopg.connect(migrated_database.owner_uri, autocommit=True) as connection:
        connection.execute("comment on view read.balances is null")
        connection.execute("comment on column read.balances.shortfall is null")
    ensure(migrated_database.owner_uri)
    assert comments(migrated_database.auditor_uri) == before
