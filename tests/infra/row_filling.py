"""Every table with a column `org`, found in the catalogue, with one row for each of two organisations."""

from typing import Any, NamedTuple

import psycopg
from psycopg import sql

OWN, OTHER = "acme", "globex"

_TABLES = """
    select n.nspname, c.relname, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity,
        coalesce('security_invoker=true' = any(c.reloptions), false)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'org' and not a.attisdropped
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^(pg_|information_schema$)'
    order by 1, 2"""
_COLUMNS = """
    select attname, format_type(atttypid, null) from pg_attribute
    where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = '' and attidentity = ''"""
_CHECKS = "select conname from pg_constraint where conrelid = %s::regclass and contype in ('c', 'f')"


class Relation(NamedTuple):
    """A table or view with a column `org`; `kind` as in pg_class."""

    schema: str
    name: str
    kind: str
    protected: bool
    forced: bool
    as_invoker: bool

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def relations(connection: psycopg.Connection[Any]) -> list[Relation]:
    """All of them."""
    return [Relation(*row) for row in connection.execute(_TABLES)]


def fill(connection: psycopg.Connection[Any]) -> None:
    """A row of each organisation in each table, whatever its columns are. `connection`: a superuser's.

    Checks and references are dropped first: what the rows mean does not matter here, only whose they are.
    """
    for relation in relations(connection):
        if relation.kind != "r":
            continue
        name = relation.identifier.as_string(connection)
        for (check,) in connection.execute(_CHECKS, (name,)).fetchall():
            drop = sql.SQL("alter table {} drop constraint {} cascade").format(
                relation.identifier, sql.Identifier(check)
            )
            connection.execute(drop)
        columns = connection.execute(_COLUMNS, (name,)).fetchall()
        for number, org in enumerate((OWN, OTHER), 1):
            values = [org if column == "org" else _value(kind, number) for column, kind in columns]
            connection.execute(
                sql.SQL("insert into {} ({}) values ({})").format(
                    relation.identifier,
                    sql.SQL(", ").join(sql.Identifier(column) for column, _ in columns),
                    sql.SQL(", ").join(
                        sql.SQL("{}::").format(sql.Placeholder()) + sql.SQL(kind) for _, kind in columns
                    ),
                ),
                values,
            )


def _value(kind: str, number: int) -> Any:
    if kind.endswith("[]"):
        return []
    known: dict[str, Any] = {
        "bytea": bytes([number]) * 32,
        "boolean": False,
        "jsonb": "{}",
        "date": f"2026-01-0{number}",
        "timestamp with time zone": f"2026-01-0{number} 00:00Z",
        "interval": f"{number} days",
        "uuid": f"00000000-0000-0000-0000-00000000000{number}",
    }
    return known.get(kind, str(number))
