"""Bring a database to the schema of this code: numbered SQL files, each applied once and in order."""

from pathlib import Path
from typing import Any

import psycopg

from infra.postgres.logins import bind_logins
from infra.postgres.session import connect_owner

SCHEMA = Path(__file__).parents[1] / "schema"
HANGS = "60s"  # without a statement, for the server to end the session, and with it the lock
TRIES = 5  # of making the table below, which several processes may do at once

_DONE = """
    create table if not exists schema_migrations
    (name text primary key, at timestamptz not null default clock_timestamp())"""
# One migrating process at a time. Only the owner has any right to this table, so no other login can hold it up.
_LOCK = "lock table schema_migrations in share row exclusive mode"
# That file gives a table to the projector, which has to have this right meanwhile where the owner is no superuser.
_BEFORE = {"0003_read_models.sql": b"grant create on schema public to scrip_projector"}
_AFTER = {"0003_read_models.sql": b"revoke create on schema public from scrip_projector"}
_LOG = "insert into log (partitions) values (%s) on conflict do nothing"
_PARTITION_LOCKS = """
    insert into partition_locks (partition) select generate_series(0, partitions - 1) from log on conflict do nothing"""


def migrate(uri: str, partitions: int) -> list[str]:
    """Apply what is missing and return the names of the files applied.

    `partitions` (1 to 512) is written once, when the log is created. `uri` needs the owner's rights.
    Raises psycopg.Error; a file is applied whole or not at all.
    """
    with connect_owner(uri, "scrip migrations") as connection:
        connection.execute(f"set idle_in_transaction_session_timeout = '{HANGS}'")
        applied = apply_files(connection)
        with connection.transaction():
            connection.execute(_LOCK)
            connection.execute(_LOG, (partitions,))
            connection.execute(_PARTITION_LOCKS)
            bind_logins(connection)
    return applied


def apply_files(connection: "psycopg.Connection[Any]") -> list[str]:
    """The files alone, without what is set at each start. Raises psycopg.Error."""
    applied: list[str] = []
    _make_table(connection)
    for file in sorted(SCHEMA.glob("*.sql")):
        with connection.transaction():
            connection.execute(_LOCK)
            known = connection.execute("select from schema_migrations where name = %s", (file.name,))
            if known.fetchone() is None:
                connection.execute(_BEFORE.get(file.name, b""))
                connection.execute(file.read_bytes())
                connection.execute(_AFTER.get(file.name, b""))
                connection.execute("insert into schema_migrations (name) values (%s)", (file.name,))
                applied.append(file.name)
    return applied


def _make_table(connection: "psycopg.Connection[Any]") -> None:
    for left in reversed(range(TRIES)):
        try:
            connection.execute(_DONE)
        except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
            if not left:  # another process has made it in the same moment; the next look finds it
                raise
        else:
            return
