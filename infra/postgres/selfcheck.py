"""The check at the start of every role: Scrip refuses to serve on servers that would lose what they acknowledge."""

from collections.abc import Mapping

import psycopg

from infra.postgres.session import SEARCH_PATH


class UnsafeSetting(Exception):
    """A setting of PostgreSQL, Kafka or Scrip with which credits could be lost.

    `server` ("PostgreSQL", "Kafka", "Scrip"), `setting`, the `value` found and the one `needed`, all for people.
    """

    def __init__(self, server: str, setting: str, value: object, needed: str) -> None:
        super().__init__(f"{server}: {setting} is {value}, but must be {needed}")
        self.server = server
        self.setting = setting
        self.value = str(value)
        self.needed = needed


# Off in any session, role, database or file: what counts is what this login's own session shows.
_DURABLE: Mapping[str, str] = {
    "fsync": "on: a power cut would lose what was acknowledged",
    "synchronous_commit": "on: a crash would lose what was acknowledged",
    "full_page_writes": "on: a power cut would corrupt pages",
}

_SESSION = """
    select current_user, r.rolsuper, r.rolbypassrls,
           has_table_privilege('events', 'update') or has_table_privilege('events', 'delete')
           or has_table_privilege('events', 'truncate'),
           (select partitions from log),
           (select not (relrowsecurity and relforcerowsecurity) from pg_class where oid = 'events'::regclass)
    from pg_roles r where r.rolname = current_user"""


def check_postgres(uri: str, partitions: int | None = None) -> None:
    """Check a server as the login of `uri`, one of Scrip's own (scrip_writer, scrip_relay, ...), sees it.

    `partitions`, where given, must be the log's own. Raises UnsafeSetting naming the setting (fsync,
    synchronous_commit, full_page_writes, the login's rights, row-level security, SCRIP_PARTITIONS); psycopg.Error
    where the server does not answer or the database has no log.
    """
    with psycopg.connect(uri, autocommit=True, connect_timeout=5, application_name="scrip selfcheck") as connection:
        connection.execute(f"set search_path = {SEARCH_PATH}")
        for setting, needed in _DURABLE.items():
            value = connection.execute("select current_setting(%s)", (setting,)).fetchone()
            if value is None or value[0] == "off":
                raise UnsafeSetting("PostgreSQL", setting, "off", needed)
        row = connection.execute(_SESSION).fetchone()
    if row is None:
        raise UnsafeSetting("PostgreSQL", "the login", "unknown", "one of Scrip's own")
    login, superuser, bypasses, changes, divided, unprotected = row
    if superuser:
        raise UnsafeSetting("PostgreSQL", f"the login {login}", "a superuser", "an ordinary role")
    if bypasses:
        raise UnsafeSetting("PostgreSQL", f"the login {login}", "exempt from row-level security", "subject to it")
    if changes:
        raise UnsafeSetting("PostgreSQL", f"the login {login}", "allowed to change events", "without that right")
    if unprotected:
        raise UnsafeSetting("PostgreSQL", "row-level security of events", "off", "forced, as the migrations have it")
    if divided is None:
        raise UnsafeSetting("PostgreSQL", "the log", "missing", "created by `scrip up` or a migration")
    if partitions is not None and divided != partitions:
        raise UnsafeSetting("Scrip", "SCRIP_PARTITIONS", partitions, f"{divided}, as in the log: it cannot change")
