"""Brings the embedded server's database up to this code: made once, migrated and given its logins at each start."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from cli.service.settings import DATABASE, login_uri, owner_uri
from infra.migrations import migrate
from infra.session import connect_owner
from projections.generations import OWNER, ensure

_CREATE = sql.SQL("create database {}").format(sql.Identifier(DATABASE))


def prepare_database(server: str, partitions: int, passwords: Mapping[str, str]) -> list[str]:
    """Make Scrip's database on the server whose superuser's URI is `server`, and return the migrations applied.

    `passwords` are by login. Raises psycopg.Error; an interrupted call is completed by the next one.
    """
    with connect_owner(server, "scrip prepare") as connection:
        known = connection.execute("select from pg_database where datname = %s", (DATABASE,)).fetchone()
        if known is None:
            connection.execute(_CREATE)
    applied = migrate(owner_uri(server), partitions)
    set_passwords(server, passwords)
    # As who owns them: nothing that this login has made is ever run in a session of the superuser.
    ensure(login_uri(server, OWNER, passwords[OWNER]))
    return applied


def set_passwords(owner: str, passwords: Mapping[str, str]) -> None:
    """Give the database's logins their passwords, all or none. Raises psycopg.Error."""
    with connect_owner(owner, "scrip prepare") as connection, connection.transaction():
        for login, password in passwords.items():
            connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(login), password))
