"""Generations of read models: each is a schema of tables; readers see exactly one whole one, through views."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from projections import READ_MODELS
from projections.fold import FOLD
from projections.read_model import Int2, ReadModel

OWNER = "scrip_projector"
READERS = sql.SQL("scrip_writer, scrip_reader, scrip_auditor")
# The first key of the projectors' advisory locks, which no other login may take; the second: one rebuild at a time.
LOCKS, REBUILD = 0x5C22, 1
# Whoever applies or pins holds this table as every reader of it does, a swap alone. Only a projector may have it alone.
PIN = "lock table public.read_generation in access share mode"
SWAP = "lock table public.read_generation in access exclusive mode"
# Makers of the first generation: one at a time, without waiting for readers.
MAKE = "lock table public.read_generation in share row exclusive mode"
# As in infra/postgres/session.py: it overrides what a login, or a schema of its name, could have set for this session.
# Others wait for what a transaction here has locked, and for the locks that a rebuild holds between its transactions:
# both end when the process has done nothing for so long. A session that has nothing to do may stay.
OPTIONS = (
    "-c search_path=public,pg_temp -c row_security=on -c default_transaction_read_only=off"
    " -c default_transaction_isolation=read\\ committed -c default_transaction_deferrable=off"
    " -c statement_timeout=0 -c lock_timeout=0 -c transaction_timeout=0 -c idle_session_timeout=0"
    " -c idle_in_transaction_session_timeout=30s -c client_encoding=UTF8 -c datestyle=ISO,YMD -c bytea_output=hex"
    " -c intervalstyle=postgres -c standard_conforming_strings=on -c timezone=UTC"
)

_DESCRIBED = """
    select relname, obj_description(oid, 'pg_class') from pg_class where relnamespace = 'read'::regnamespace"""

Cursor = psycopg.Cursor[Any]
Models = Sequence[ReadModel[Any]]


class CheckpointRow(NamedTuple):
    """How far each partition of the log is folded into this generation. `kafka_offset` is that of the event at
    `position` or of an earlier one (none before the first): reading resumes after it, and repeats are recognised by
    position.
    """

    partition: Int2
    position: int
    kafka_offset: int | None
    time: datetime | None


# A table beside those of the read models, and shown like them. The runner writes it, so no event is folded into it.
CHECKPOINTS = ReadModel(
    name="checkpoints",
    row=CheckpointRow,
    key=("partition",),
    events={},
    fold=lambda _state, _fact: None,
    fillfactor=50,
)


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


def tables(models: Models = READ_MODELS) -> Models:
    """Everything that a generation has a table of."""
    return (CHECKPOINTS, *models)


def shape(models: Models = READ_MODELS) -> str:
    """What this code makes of events, as a short text: a generation of another shape must be rebuilt."""
    made = [
        statement.as_string()
        for model in tables(models)
        for statement in (model.create(""), *model.create_keys(""), *model.queries("").values())
    ]
    return f"{FOLD}-{sha256(repr(made).encode()).hexdigest()[:12]}"


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


def ensure(uri: str, models: Models = READ_MODELS) -> ReadModelVersion:
    """Make the first, empty generation where there is none, and return the live one.

    `uri` is the projector's or the owner's. Comments on views are set again where they differ; read models of another
    shape are left as they are, until a rebuild.
    Safe to call at every start and by several processes at once.
    """
    with connect(uri, "scrip generations") as connection, connection.transaction():
        cursor = connection.cursor()
        cursor.execute(MAKE)
        try:
            found = live(cursor)
        except NoReadModels:
            create_tables(cursor, 1, models)
            create_keys(cursor, 1, models)
            cursor.execute(
                sql.SQL(
                    "insert into {} (partition, position)"
                    " select p, 0 from public.log, generate_series(0, log.partitions - 1) p"
                ).format(sql.Identifier(schema_of(1), "checkpoints"))
            )
            show(cursor, 1, models, keep=False)
            cursor.execute("insert into public.read_generation (live, shape) values (1, %s)", (shape(models),))
            return ReadModelVersion(1, shape(models))
        described = dict(cursor.execute(_DESCRIBED).fetchall())
        stale = any(described.get(model.name) != model.about for model in tables(models))
        if stale and found.shape == shape(models):
            describe(cursor, models)
        return found


def live(cursor: Cursor) -> ReadModelVersion:
    """The live generation. Raises NoReadModels.

    A caller that then uses its tables directly must pin it before this call.
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


def create_tables(cursor: Cursor, number: int, models: Models = READ_MODELS) -> None:
    """A new generation's tables, without keys and indexes."""
    cursor.execute("select public.make_read_generation(%s)", (number,))
    for model in tables(models):
        cursor.execute(model.create(schema_of(number)))


def create_keys(cursor: Cursor, number: int, models: Models = READ_MODELS) -> None:
    """The keys and indexes of a generation's tables, which are faster to make when the rows are there.

    And their row-level security, which rules out COPY: from here on rows come by INSERT.
    """
    schema = schema_of(number)
    for model in tables(models):
        table = sql.Identifier(schema, model.name)
        for statement in model.create_keys(schema):
            cursor.execute(statement)
        if "org" in model.table.columns:
            cursor.execute("select public.protect_rows(%s::text::regclass)", (table.as_string(cursor),))
        cursor.execute(sql.SQL("grant select on {} to {}").format(table, READERS))
    cursor.execute(sql.SQL("grant usage on schema {} to {}").format(sql.Identifier(schema), READERS))


def show(cursor: Cursor, number: int, models: Models = READ_MODELS, *, keep: bool) -> None:
    """Point the views at a generation; `keep` where its tables have the same columns as before.

    Views show each reader what it may see of the tables (`security_invoker`), not all that their owner may.
    """
    for model in tables(models):
        for name, query in model.queries(schema_of(number)).items():
            view = sql.Identifier("read", name)
            if not keep:
                cursor.execute(sql.SQL("drop view if exists {}").format(view))
            cursor.execute(
                sql.SQL("create or replace view {} with (security_invoker = true) as {}").format(view, query)
            )
            cursor.execute(sql.SQL("grant select on {} to {}").format(view, READERS))
    describe(cursor, models)


def describe(cursor: Cursor, models: Models = READ_MODELS) -> None:
    """Say in the database what each view and its columns are, for psql and others."""
    for model in tables(models):
        for name in model.queries(""):
            view = sql.Identifier("read", name)
            cursor.execute(sql.SQL("comment on view {} is {}").format(view, sql.Literal(model.about)))
            columns = cursor.execute(sql.SQL("select * from {} limit 0").format(view)).description or ()
            for column in columns:
                about = model.about_column(column.name)
                if about:
                    words = sql.SQL("comment on column {}.{} is {}")
                    cursor.execute(words.format(view, sql.Identifier(column.name), sql.Literal(about)))


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
