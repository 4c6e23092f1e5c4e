"""Generations of read models: each is a schema of tables; readers see exactly one whole one, through views."""

import re
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from projections.fold import FOLD

FOLDER = Path(__file__).parent
TABLES = (
    *("checkpoints", "balances", "transactions", "reservations", "grants", "debits", "prices"),
    *("generations", "refusals", "usage", "use_holds", "storages", "contents", "groups", "members"),
    *("group_usage", "budgets", "costs", "organisations", "token_usage", "catalogue", "purchases"),
)
OWNER = "scrip_projector"
READERS = sql.SQL("scrip_writer, scrip_reader, scrip_auditor")
# The first key of the projectors' advisory locks, which nobody else may take; the second: one rebuild at a time.
LOCKS, REBUILD = 0x5C22, 1
# Whoever applies or pins holds this table as every reader of it does, a swap alone. Only a projector may have it alone.
PIN = "lock table public.read_generation in access share mode"
SWAP = "lock table public.read_generation in access exclusive mode"
# Makers of the first generation: one at a time, without waiting for readers.
MAKE = "lock table public.read_generation in share row exclusive mode"
# As in infra/session.py: what a login, or somebody with a schema of its name, could have left for this session.
# Others wait for what a transaction here has locked, and for the locks that a rebuild holds between its transactions:
# both end when the process has done nothing for so long. A session that has nothing to do may stay.
OPTIONS = (
    "-c search_path=public,pg_temp -c row_security=on -c default_transaction_read_only=off"
    " -c default_transaction_isolation=read\\ committed -c default_transaction_deferrable=off"
    " -c statement_timeout=0 -c lock_timeout=0 -c transaction_timeout=0 -c idle_session_timeout=0"
    " -c idle_in_transaction_session_timeout=30s -c client_encoding=UTF8 -c datestyle=ISO,YMD -c bytea_output=hex"
    " -c intervalstyle=postgres -c standard_conforming_strings=on -c timezone=UTC"
)

SHOWN = {
    "transactions": "select *, lpad(position::text, 16, '0') || '-' || n as id from {table}",
    "group_usage": "select *, (at at time zone 'UTC')::date as day from {table}",
}
# Further views for people who ask in SQL, and the tables that they show.
VIEW_OF = {"usage_daily": "usage"}
VIEWS = {
    "usage_daily": """
        select org, (at at time zone 'UTC')::date as day, key, user_id, operation, provider, model, size, quality,
            feature, outcome, reason, currency, unit, sum(generations) as generations,
            sum(succeeded) as succeeded, sum(credits) as credits, sum(tokens) as tokens,
            sum(plan_tokens) as plan_tokens, sum(other) as other, sum(usd) as usd,
            sum(provider_cost) as provider_cost, sum(time_ms) as time_ms
        from {usage} group by org, day, key, user_id, operation, provider, model, size, quality, feature, outcome,
            reason, currency, unit"""
}

_HAS_ORG = """
    select 1 from information_schema.columns where table_schema = %s and table_name = %s and column_name = 'org'"""

_DESCRIBED = """
    select relname, obj_description(oid, 'pg_class') from pg_class where relnamespace = 'read'::regnamespace"""
_SENTENCES = re.compile(r"(?<=\.)\s+")

Cursor = psycopg.Cursor[Any]


class ReadModelVersion(NamedTuple):
    """The live generation: its number, and the shape of its tables and folds."""

    number: int
    shape: str

    @property
    def schema(self) -> str:
        return schema_of(self.number)


class NoReadModels(Exception):
    """The read models were never made: run `ensure` once after the migrations."""


def schema_of(number: int) -> str:
    """The schema that holds a generation's tables."""
    return f"read_g{number}"


def shape() -> str:
    """What this code makes of events, as a short text: a generation of another shape must be built anew."""
    text = "".join(_ddl(name) for name in TABLES) + repr((SHOWN, VIEWS))
    return f"{FOLD}-{sha256(text.encode()).hexdigest()[:12]}"


def connect(uri: str, application: str) -> psycopg.Connection[Any]:
    """A connection as the read models' owner, for explicit transactions, with plans made for the actual arguments."""
    connection = psycopg.connect(
        uri,
        autocommit=True,
        application_name=application,
        connect_timeout=5,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=10_000,
        options=f"{OPTIONS} -c plan_cache_mode=force_custom_plan",
    )
    connection.execute(sql.SQL("set role {}").format(sql.Identifier(OWNER)))
    return connection


def ensure(uri: str) -> ReadModelVersion:
    """Make the first, empty generation where there is none, and return the live one.

    `uri` is the projector's or the owner's.
    Safe to call at every start and by several processes at once.
    """
    with connect(uri, "scrip generations") as connection, connection.transaction():
        cursor = connection.cursor()
        cursor.execute(MAKE)
        try:
            found = live(cursor)
        except NoReadModels:
            create_tables(cursor, 1)
            create_keys(cursor, 1)
            cursor.execute(
                sql.SQL(
                    "insert into {} (partition, position)"
                    " select p, 0 from public.log, generate_series(0, log.partitions - 1) p"
                ).format(sql.Identifier(schema_of(1), "checkpoints"))
            )
            show(cursor, 1, keep=False)
            cursor.execute("insert into public.read_generation (live, shape) values (1, %s)", (shape(),))
            return ReadModelVersion(1, shape())
        described = dict(cursor.execute(_DESCRIBED).fetchall())
        if {name: described.get(name) for name in TABLES} != {name: _head(name) for name in TABLES}:
            describe(cursor)
        return found


def live(cursor: Cursor) -> ReadModelVersion:
    """The live generation. Raises NoReadModels.

    Who goes on to use its tables directly has it pinned from before this look.
    """
    row = cursor.execute("select live, shape from public.read_generation").fetchone()
    if row is None:
        raise NoReadModels("the read models do not exist yet")
    return ReadModelVersion(*row)


def pin(cursor: Cursor) -> None:
    """Keep the live generation live until the end of this transaction: for who reads several views as one whole.

    In a repeatable-read transaction call it before anything else.
    """
    cursor.execute(PIN)


def create_tables(cursor: Cursor, number: int) -> None:
    """A new generation's tables, without keys and indexes."""
    cursor.execute("select public.make_read_generation(%s)", (number,))
    _run(cursor, number, part=0)


def create_keys(cursor: Cursor, number: int) -> None:
    """The keys and indexes of a generation's tables, which are faster to make when the rows are there.

    And their row-level security, which rules out COPY: from here on rows come by INSERT.
    """
    _run(cursor, number, part=1)
    schema = sql.Identifier(schema_of(number))
    for name in TABLES:
        table = sql.Identifier(schema_of(number), name)
        if cursor.execute(_HAS_ORG, (schema_of(number), name)).fetchone():
            cursor.execute("select public.protect_rows(%s::text::regclass)", (table.as_string(cursor),))
        cursor.execute(sql.SQL("grant select on {} to {}").format(table, READERS))
    cursor.execute(sql.SQL("grant usage on schema {} to {}").format(schema, READERS))


def show(cursor: Cursor, number: int, *, keep: bool) -> None:
    """Point the views at a generation; `keep` where its tables have the same columns as before.

    Views show each reader what it may see of the tables (`security_invoker`), not all that their owner may.
    """
    tables = {name: sql.Identifier(schema_of(number), name) for name in TABLES}
    queries = {name: sql.SQL(SHOWN.get(name, "select * from {table}")).format(table=tables[name]) for name in TABLES}
    for name, query in (queries | {name: sql.SQL(text).format(**tables) for name, text in VIEWS.items()}).items():
        view = sql.Identifier("read", name)
        if not keep:
            cursor.execute(sql.SQL("drop view if exists {}").format(view))
        cursor.execute(sql.SQL("create or replace view {} with (security_invoker = true) as {}").format(view, query))
        cursor.execute(sql.SQL("grant select on {} to {}").format(view, READERS))
    describe(cursor)


def describe(cursor: Cursor) -> None:
    """Say in the database what each view and its columns are, as the head of its file says it: for psql and others."""
    for name in (*TABLES, *VIEWS):
        view, said = sql.Identifier("read", name), _head(VIEW_OF.get(name, name))
        cursor.execute(sql.SQL("comment on view {} is {}").format(view, sql.Literal(said)))
        columns = cursor.execute(sql.SQL("select * from {} limit 0").format(view)).description or ()
        for column in columns:
            about = [sentence for sentence in _SENTENCES.split(said) if f"`{column.name}`" in sentence]
            if about:
                words = sql.SQL("comment on column {}.{} is {}")
                cursor.execute(words.format(view, sql.Identifier(column.name), sql.Literal(" ".join(about))))


def drop_others(connection: psycopg.Connection[Any]) -> list[str]:
    """Drop every generation but the live one, each in its own transaction, and return their schemas."""
    cursor = connection.cursor()
    number = live(cursor).number
    rows = cursor.execute(
        "select nspname from pg_namespace where nspname ~ '^read_g[0-9]+$' and nspname <> %s order by nspname",
        (schema_of(number),),
    ).fetchall()
    for (name,) in rows:
        cursor.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))
    return [name for (name,) in rows]


def _head(name: str) -> str:
    """The comment at the head of a read model's file, in one line."""
    lines = takewhile(lambda line: line.startswith("--"), _ddl(name).splitlines())
    return " ".join(line.removeprefix("--").strip() for line in lines)


def _ddl(name: str) -> str:
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def _run(cursor: Cursor, number: int, part: int) -> None:
    previous = cursor.execute("select current_setting('search_path')").fetchone()
    cursor.execute("select set_config('search_path', %s, true)", (schema_of(number),))
    for name in TABLES:
        cursor.execute(_ddl(name).split("-- keys\n")[part].encode())
    cursor.execute("select set_config('search_path', %s, true)", previous)
