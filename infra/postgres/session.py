"""How Scrip's own sessions of PostgreSQL begin: with settings that no earlier session can have changed.

A login may keep settings of its own (`alter role ... set`), and a login that may make schemas could put one
before ours in the server's usual search path. What a client sends at the start of a session goes before both.
"""

from collections.abc import Mapping
from typing import Any

import psycopg

SEARCH_PATH = "public, pg_temp"  # PostgreSQL looks into pg_catalog first, and pg_temp would else be the second

# What a login could set for its next sessions to make them fail, wait, or read something else.
_SETTINGS: Mapping[str, str] = {
    "search_path": SEARCH_PATH,
    "row_security": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "bytea_output": "hex",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
}


def options(more: str = "") -> str:
    """The value of libpq's `options` for a session: the settings above, then `more` as `-c name=value`, which wins."""
    fixed = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in _SETTINGS.items())
    return f"{fixed} {more}".rstrip()


def connect_owner(uri: str, application: str) -> "psycopg.Connection[Any]":
    """An autocommit session of the schema's owner, whose names are PostgreSQL's and ours. Raises psycopg.Error."""
    return psycopg.connect(
        uri,
        autocommit=True,
        connect_timeout=5,
        application_name=application,
        # Who makes a login without being a superuser may act for it: it has to make what belongs to the projector.
        options=options("-c createrole_self_grant=set,inherit"),
    )
