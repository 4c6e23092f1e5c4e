"""PostgreSQL: reachable by every login, durable, of this version's schema, with a clock that agrees.

Also its logins: settings that one has left for its next sessions, and what the server leaves open to all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg

from cli.doctor.codes import Finding, look
from cli.service.settings import ROLE_LOGINS
from infra.postgres.logins import LOGINS, OTHER_DATABASES, SETTINGS, SUPERUSERS, as_stored
from infra.postgres.migrations import SCHEMA
from infra.postgres.selfcheck import UnsafeSetting, check_postgres
from infra.postgres.session import connect_owner, options
from infra.settings import Settings

MOST_SKEW_S = 2.0
SHOWN = 3  # functions or databases that a finding names

_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
_OPEN = "select called::text from open_functions() order by 1"


def as_auditor(settings: Settings) -> psycopg.Connection[Any]:
    """A connection for the doctor's questions, each of 30 s at most. Raises psycopg.Error."""
    return psycopg.connect(
        settings.auditor_url.get_secret_value(),
        autocommit=True,
        connect_timeout=5,
        application_name="scrip doctor",
        options=options("-c statement_timeout=30s"),
    )


def check_database(settings: Settings) -> Iterator[Finding]:
    """Findings about the server and the rights of each login."""
    for login in ROLE_LOGINS:
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
        with as_auditor(settings) as connection:
            before = time.time()
            row = connection.execute("select extract(epoch from clock_timestamp())::float8").fetchone()
            after = time.time()
    except psycopg.Error:
        return  # check_database reports the login
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


def check_logins(settings: Settings) -> Iterator[Finding]:
    """Findings, as scrip_auditor sees them; none where the database cannot be reached: others tell of that."""
    try:
        with as_auditor(settings) as connection:
            yield from _settings(connection)
            yield from _open(connection)
    except (psycopg.OperationalError, psycopg.errors.UndefinedFunction, psycopg.errors.InsufficientPrivilege):
        return  # a database that is away or not migrated is a finding of its own


def _settings(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    unbounded = []
    for name, everywhere, stored in connection.execute(SETTINGS, ([*LOGINS],)).fetchall():
        ours = set() if everywhere else set(as_stored(LOGINS[name].settings))
        for setting in sorted(set(stored) - ours):
            yield Finding("login-settings", f"Sessions of {name} begin with {setting}.")
        if not everywhere and any(
            limit in LOGINS[name].settings and not any(setting.startswith(f"{limit}=") for setting in stored)
            for limit in SUPERUSERS
        ):
            unbounded.append(name)
    if unbounded:
        yield look("open-to-all", f"Temporary files have no bound for {', '.join(sorted(unbounded))}.")


def _open(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    functions = [name for (name,) in connection.execute(_OPEN)]
    if functions:
        yield look(
            "open-to-all",
            f"Everybody may call {len(functions)} functions of PostgreSQL that lock, write or end sessions, such as"
            f" {', '.join(functions[:SHOWN])}.",
        )
    databases = [name for name, is_open in connection.execute(OTHER_DATABASES) if is_open]
    if databases:
        shown = ", ".join(databases[:SHOWN])
        yield look("open-to-all", f"Scrip's logins may also connect to {len(databases)} other databases: {shown}.")
