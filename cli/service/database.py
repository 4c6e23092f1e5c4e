"""Brings the embedded server's database up to this code: made once, migrated and given its logins at each start."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from cli.service.settings import DATABASE, owner_uri
from infra.migrations import migrate
from projections.generations import ensure


def prepare_database(server: str, partitions: int, passwords: Mapping[str, str]) -> list[str]:
    """Make Scrip's database on the server whose superuser's URI is `server`, and return the migrations applied.

    `passwords` are by login. Raises psycopg.Error; an interrupted call is completed by the next one.
    """
    with psycopg.connect(server, autocommit=True) as connection:
        known = connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone()
        if known is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    applied = migrate(owner_uri(server), partitions)
    ensure(owner_uri(server))
    set_passwords(server, passwords)
    return applied


def set_passwords(owner: str, passwords: Mapping[str, str]) -> None:
    """Give the database's logins their passwords, all or none. Raises psycopg.Error."""
    with psycopg.connect(owner) as connection:
        for login, password in passwords.items():
            connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(login), password))
