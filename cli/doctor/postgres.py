"""PostgreSQL: reachable by every login, durable, of this version's schema, and with a clock that agrees."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg

from cli.doctor.finding import Finding, look
from cli.doctor.settings import LOGINS
from infra.migrations import SCHEMA
from infra.selfcheck import check_postgres
from infra.session import connect_owner, options
from infra.settings import Settings
from infra.unsafe_setting import UnsafeSetting

MOST_SKEW_S = 2.0

_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


def check_database(settings: Settings) -> Iterator[Finding]:
    """Findings about the server and the rights of each login."""
    for login in LOGINS:
        uri = getattr(settings, f"{login}_url").get_secret_value()
        if uri:
            yield from _login(login, uri, settings.partitions)
    yield from _clock(settings)
    if settings.owner_url.get_secret_value():
        yield from _migrations(settings)


def _login(login: str, uri: str, partitions: int) -> Iterator[Finding]:
    try:
        check_postgres(uri, partitions)
    except UnsafeSetting as unsafe:
        yield Finding(_code(unsafe), f"As {login}: {unsafe}.")
    except psycopg.OperationalError as error:
        yield Finding("postgres-away", f"As {login}: {' '.join(str(error).split())}")
    except psycopg.errors.UndefinedTable:
        yield Finding("log-missing", f"As {login}: the database has no table of events.")
    except psycopg.Error as error:
        yield Finding("login-rights", f"As {login}: {' '.join(str(error).split())}")


def _code(unsafe: UnsafeSetting) -> str:
    if unsafe.setting in _DURABLE:
        return "postgres-not-durable"
    for start, code in (
        ("the login", "login-rights"),
        ("row-level security", "row-level-security"),
        ("the log", "log-missing"),
        ("SCRIP_PARTITIONS", "partitions-differ"),
    ):
        if unsafe.setting.startswith(start):
            return code
    return "setting-wrong"


def _clock(settings: Settings) -> Iterator[Finding]:
    """This machine's clock decides when a token has ended; the database's decides everything else."""
    try:
        with psycopg.connect(
            settings.auditor_url.get_secret_value(), connect_timeout=5, options=options()
        ) as connection:
            before = time.time()
            row = connection.execute("select extract(epoch from clock_timestamp())::float8").fetchone()
            after = time.time()
    except psycopg.Error:
        return  # told of the login already
    if row is None:
        return
    skew = max(before - row[0], row[0] - after, 0.0)
    if skew > MOST_SKEW_S:
        yield Finding("clock-skew", f"This machine's clock and the database's are {skew:.0f} s apart.")


def _migrations(settings: Settings) -> Iterator[Finding]:
    try:
        with connect_owner(settings.owner_url.get_secret_value(), "scrip doctor") as connection:
            done = {name for (name,) in connection.execute("select name from schema_migrations")}
    except psycopg.errors.UndefinedTable:
        yield Finding("log-missing", "The database was never migrated.")
        return
    except psycopg.Error as error:
        yield look("postgres-away", f"As owner: {' '.join(str(error).split())}")
        return
    names = {file.name for file in SCHEMA.glob("*.sql")}
    missing, unknown = sorted(names - done), sorted(done - names)
    if missing:
        yield Finding("migrations-missing", f"Not applied: {', '.join(missing)}.")
    if unknown:
        yield look("migrations-missing", f"This program is older than the database, which has {', '.join(unknown)}.")
