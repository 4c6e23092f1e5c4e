"""What each login of PostgreSQL gets at most, set at each start: connections, waits, disk, its search path.

Time-outs are what a session begins with and may change; connections and temporary files are bounds for good.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from infra.postgres.session import SEARCH_PATH

Connection = psycopg.Connection[Any]


FEWEST = 5  # connections of a login, however small the server


class Login(NamedTuple):
    """A login's share of the server's connections, in percent, and what its sessions begin with.

    `most` bounds the connections of a large server too; None: the share alone does.
    """

    connections: int
    settings: Mapping[str, str]
    most: int | None = None

    def connections_of(self, slots: int) -> int:
        """How many connections it may have at a server that takes `slots` of all logins together."""
        wanted = max(FEWEST, slots * self.connections // 100)
        return wanted if self.most is None else min(wanted, self.most)


_WAITS = {
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "1min",
    "search_path": SEARCH_PATH,
}
# People look at the read models first, but never see one in the place of a table of the log.
_READS = _WAITS | {"search_path": "public, read, pg_temp", "transaction_timeout": "15min"}

# Together more than all: roles have busy and quiet times. What one of them leaves is enough for each other one.
LOGINS: Mapping[str, Login] = {
    "scrip_writer": Login(50, _WAITS | {"statement_timeout": "1min", "temp_file_limit": "1GB"}),
    "scrip_relay": Login(10, _WAITS | {"statement_timeout": "1min", "temp_file_limit": "1GB"}),
    # A rebuild waits for another one, and sorts whole tables.
    "scrip_projector": Login(20, {"search_path": SEARCH_PATH, "idle_in_transaction_session_timeout": "5min"}),
    "scrip_reader": Login(30, _READS | {"statement_timeout": "1min", "temp_file_limit": "1GB"}),
    "scrip_auditor": Login(30, _READS | {"statement_timeout": "5min", "temp_file_limit": "10GB"}),
    # People get this one. PostgreSQL bounds the temporary files of a session, not those of a login: the product of
    # both numbers is what it can fill, 4 GB, and as much again by the server's parallel workers.
    "scrip_analyst": Login(10, _READS | {"statement_timeout": "5min", "temp_file_limit": "512MB"}, most=8),
}
SUPERUSERS = ("temp_file_limit",)  # only a superuser may set it

_SLOTS = """
    select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - current_setting('reserved_connections')::int,
        (select rolsuper from pg_roles where rolname = current_user)"""
# Databases that every server has. A server without others is Scrip's alone.
_OF_THE_SERVER = ("postgres", "template1")
OTHER_DATABASES = """
    select datname::text, has_database_privilege('public', oid, 'connect') from pg_database
    where datname <> current_database() and datallowconn order by datname"""
_LIMIT = "select rolconnlimit from pg_roles where rolname = %s"
# Settings of a login: for all databases, and for this one.
SETTINGS = """
    select r.rolname::text, s.setdatabase = 0 as everywhere, s.setconfig
    from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
    where r.rolname = any(%s)
        and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))"""


def bind_logins(connection: Connection) -> None:
    """Give each login its bounds in this database, and take back what it has set for itself. As the owner.

    An owner that is no superuser cannot bound temporary files, nor close what PostgreSQL leaves open to all logins.
    Raises psycopg.Error.
    """
    connection.execute("select close_functions()")
    slots, superuser = connection.execute(_SLOTS).fetchall()[0]
    if superuser:
        _close_other_databases(connection)
    found = {(name, everywhere): config for name, everywhere, config in connection.execute(SETTINGS, ([*LOGINS],))}
    (database,) = connection.execute("select current_database()").fetchall()[0]
    for name, login in LOGINS.items():
        role = sql.Identifier(name)
        ((limit,),) = connection.execute(_LIMIT, (name,)).fetchall()
        wanted = login.connections_of(slots)
        if limit != wanted:
            connection.execute(sql.SQL("alter role {} connection limit {}").format(role, sql.Literal(wanted)))
        if (name, True) in found:
            connection.execute(sql.SQL("alter role {} reset all").format(role))
        settings = settings_of(name, superuser=superuser)
        if sorted(found.get((name, False), [])) == as_stored(settings):
            continue
        here = sql.SQL("alter role {} in database {} ").format(role, sql.Identifier(database))
        connection.execute(here + sql.SQL("reset all"))
        for key, value in settings.items():
            # A list of schemas is one value for each; as one text it would be one schema with a long name.
            values = [part.strip() for part in value.split(",")]
            literals = sql.SQL(", ").join(map(sql.Literal, values))
            connection.execute(here + sql.SQL("set {} = {}").format(sql.Identifier(key), literals))


def _close_other_databases(connection: Connection) -> None:
    """Keep logins out of the server's own databases, where they could fill the disk, unless others use them too."""
    others: dict[str, bool] = dict(connection.execute(OTHER_DATABASES).fetchall())
    if others.keys() <= set(_OF_THE_SERVER):
        for name in (name for name, is_open in others.items() if is_open):
            connection.execute(sql.SQL("revoke connect on database {} from public").format(sql.Identifier(name)))


def settings_of(name: str, *, superuser: bool) -> dict[str, str]:
    """What the sessions of a login begin with, where the owner is a superuser and where it is not."""
    settings = LOGINS[name].settings
    return {key: value for key, value in settings.items() if superuser or key not in SUPERUSERS}


def as_stored(settings: Mapping[str, str]) -> list[str]:
    """Settings as PostgreSQL keeps those of a login, in order."""
    return sorted(f"{key}={value}" for key, value in settings.items())
