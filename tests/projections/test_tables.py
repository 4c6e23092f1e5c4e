"""The database catalogue of the read models: every column, key, index, check, right and comment, beside a kept text."""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from projections.groups import MemberRow
from projections.read_model import Due, ReadModel
from projections.versions import ensure
from tests.conftest import Database

# Written by the code that had a file of SQL for each table; a change here is a change for who reads the views.
KEPT = Path(__file__).parents[1] / "golden" / "read_models.txt"

RELATIONS = """
    select n.nspname || '.' || c.relname, c.oid, c.relkind = 'v',
        concat_ws('; ', array_to_string(c.reloptions, ', '), case when c.relrowsecurity then 'row security' end,
            case when c.relforcerowsecurity then 'forced' end,
            (select string_agg(a::text, ', ' order by a::text) from unnest(c.relacl) a
                where split_part(a::text, '=', 1) <> pg_get_userbyid(c.relowner))),
        obj_description(c.oid, 'pg_class')
    from pg_class c join pg_namespace n on n.oid = relnamespace
    where nspname in ('read', 'read_g1') and relkind in ('r', 'v') order by nspname, relname"""
COLUMNS = """
    select concat_ws(' ', '"' || attname || '"', format_type(atttypid, atttypmod),
        case when collname <> 'default' then 'collate ' || collname end, case when attnotnull then 'not null' end),
        col_description(attrelid, attnum)
    from pg_attribute a left join pg_collation c on c.oid = attcollation
    where attrelid = %s and attnum > 0 and not attisdropped order by attnum"""
RULES = """
    select * from (
        select pg_get_constraintdef(oid) from pg_constraint where conrelid = %(relation)s
        union all select pg_get_indexdef(indexrelid) from pg_index where indrelid = %(relation)s
        union all select concat_ws(' ', 'policy', polname, polcmd, pg_get_expr(polqual, polrelid),
            pg_get_expr(polwithcheck, polrelid)) from pg_policy where polrelid = %(relation)s
    ) rules (rule) order by rule collate "C" """


def catalogue(uri: str) -> Iterator[str]:
    """What PostgreSQL says of all tables and views of the read models, line by line."""
    with psycopg.connect(uri) as connection:
        for name, relation, is_view, options, about in connection.execute(RELATIONS).fetchall():
            yield f"{'view' if is_view else 'table'} {name} ({options})"
            if about:
                yield f"    -- {about}"
            for column, said in connection.execute(COLUMNS, (relation,)).fetchall():
                yield f"    {column}" + (f" -- {_short(said, about)}" if said else "")
            for (rule,) in connection.execute(RULES, {"relation": relation}).fetchall():
                yield f"    {rule}"
            if is_view:
                query = connection.execute("select pg_get_viewdef(%s)", (relation,)).fetchall()[0][0]
                yield f"    as {' '.join(query.split())}"
            yield ""


def _short(said: str, about: str) -> str:
    """A column's comment: the numbers of the sentences of its view's, or itself where it is not made of these."""
    sentences = re.split(r"(?<=\.)\s+", about)
    places = [place for place, sentence in enumerate(sentences) if sentence in said]
    return f"{places}" if " ".join(sentences[place] for place in places) == said else said


def test_the_tables_and_views_are_those_that_were_kept(migrated_database: Database) -> None:
    ensure(migrated_database.owner_uri)
    assert "\n".join(catalogue(migrated_database.owner_uri)) == KEPT.read_text(encoding="utf-8")


class Undescribed(NamedTuple):
    org: str


class Counted(NamedTuple):
    """One row for each user."""

    org: str
    user_id: str
    seen: datetime | None
    share: Decimal


class Mixed(NamedTuple):
    """One row for each organisation."""

    org: str
    either: int | str


@pytest.mark.parametrize(
    ("row", "declared", "wrong"),
    [
        (Undescribed, {}, "no docstring"),
        (Counted, {}, "Counted.share: no column is made of the type"),
        (Mixed, {}, "Mixed.either: no column is made of the type"),
        (MemberRow, {"key": ("group_id", "org")}, "the row's first fields"),
        (MemberRow, {"due": (Due("joined_at", "true"),)}, "on which stream"),
    ],
)
def test_what_makes_no_table_is_refused_when_it_is_declared(row: Any, declared: dict[str, Any], wrong: str) -> None:
    with pytest.raises(TypeError, match=wrong):
        ReadModel(**{"name": "wrong", "row": row, "key": ("org",), "events": {}, "fold": lambda *_: None} | declared)
