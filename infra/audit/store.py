"""How the auditor reads the store: one connection, one moment, rows streamed in bounded memory."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, LiteralString

import psycopg
from psycopg.rows import RowFactory, tuple_row

from infra.log.events import LedgerEvent
from infra.log.postgres import PostgresLog
from infra.postgres.session import options

Connection = psycopg.Connection[Any]
Rows = Generator[Any, None, None]
ROWS_AT_A_TIME = 2_000
HANGS = "300s"  # without a statement: while it waits for Kafka, an audit asks nothing for up to a minute
READ_MODELS_HANG = "60s"  # the same while a rebuild waits for the audit

# What a swap of read models waits for (`PIN` in projections/versions.py): until the transaction ends, the views of
# all read models show one generation.
PIN = "lock table public.read_generation in access share mode"

_numbers = count()  # names of cursors need only differ within a connection


def connect(uri: str) -> Connection:
    """A connection for reading. Raises psycopg.OperationalError."""
    return psycopg.connect(
        uri,
        autocommit=True,
        application_name="scrip verify",
        connect_timeout=10,
        options=options(
            f"-c plan_cache_mode=force_custom_plan -c idle_session_timeout={HANGS}"
            f" -c idle_in_transaction_session_timeout={HANGS}"
        ),
    )


@contextmanager
def one_moment(uri: str, *, read_models: bool = False) -> Iterator[Connection]:
    """A connection on which every query sees the database as of one moment; `read_models`: also one generation of them.

    A rebuild cannot be finished meanwhile, so `read_models` is for as short a time as possible.
    """
    with connect(uri) as connection:
        if read_models:
            for setting in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
                connection.execute("select set_config(%s, %s, false)", (setting, READ_MODELS_HANG))
        connection.execute("begin isolation level repeatable read read only")
        if read_models:  # it takes no snapshot: the first look does, after a swap that is under way
            connection.execute(PIN)
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.execute("rollback")


def rows(
    connection: Connection, query: LiteralString, arguments: Sequence[Any] = (), make: RowFactory[Any] = tuple_row
) -> Rows:
    """The rows of a query, streamed by a cursor of the server. The connection must be in a transaction."""
    with connection.cursor(name=f"audit_{next(_numbers)}", row_factory=make) as cursor:
        cursor.itersize = ROWS_AT_A_TIME
        cursor.execute(query, arguments, binary=True)
        yield from cursor


def events(connection: Connection, partition: int, last: int | None = None) -> Iterator[LedgerEvent]:
    """A partition's events, to position `last` or the end, a page at a time, by the log's own way of reading."""
    log = PostgresLog.within(connection).partition(partition)
    page = log.select_notifications(None, ROWS_AT_A_TIME, last)
    while page:
        yield from page
        page = log.select_notifications(page[-1].position + 1, ROWS_AT_A_TIME, last)
