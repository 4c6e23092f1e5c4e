"""Bring a database to the schema of this code: numbered SQL files, each applied once and in order."""

from pathlib import Path

import psycopg

SCHEMA = Path(__file__).parent / "schema"
LOCK = 0x5C_21_90_00  # one migrating process at a time
HANGS = "60s"  # without a statement, for the server to take the lock away


def migrate(uri: str, partitions: int) -> list[str]:
    """Apply what is missing and return the names of the files applied.

    `partitions` (1 to 512) is written once, when the log is created. `uri` needs the owner's rights.
    Raises psycopg.Error; a file is applied whole or not at all.
    """
    applied: list[str] = []
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"set idle_session_timeout = '{HANGS}'")
        connection.execute(f"set idle_in_transaction_session_timeout = '{HANGS}'")
        connection.execute("select pg_advisory_lock(%s)", (LOCK,))
        connection.execute(
            "create table if not exists schema_migrations"
            " (name text primary key, at timestamptz not null default clock_timestamp())"
        )
        done = {row[0] for row in connection.execute("select name from schema_migrations")}
        for file in sorted(SCHEMA.glob("*.sql")):
            if file.name in done:
                continue
            with connection.transaction():
                connection.execute(file.read_bytes())
                connection.execute("insert into schema_migrations (name) values (%s)", (file.name,))
            applied.append(file.name)
        connection.execute("insert into log (partitions) values (%s) on conflict do nothing", (partitions,))
    return applied
