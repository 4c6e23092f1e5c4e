"""PostgreSQL's logins: settings that one has left for its next sessions, and what the server leaves open to all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from cli.doctor.finding import Finding, look
from infra.logins import LOGINS, OTHER_DATABASES, SETTINGS, SUPERUSERS, as_stored
from infra.session import options
from infra.settings import Settings

SHOWN = 3
_OPEN = "select called::text from open_functions() order by 1"


def check_logins(settings: Settings) -> Iterator[Finding]:
    """Findings, as scrip_auditor sees them; none where the database cannot be reached: others tell of that."""
    try:
        with psycopg.connect(
            settings.auditor_url.get_secret_value(),
            autocommit=True,
            connect_timeout=5,
            application_name="scrip doctor",
            options=options("-c statement_timeout=30s"),
        ) as connection:
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
