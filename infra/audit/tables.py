"""The tables of the read models, as the auditor reads them: rows in the order in which the log gives them."""

from typing import LiteralString, NamedTuple

from psycopg.rows import dict_row

from infra.audit.expected import Row
from infra.audit.report import Differs
from infra.audit.store import Connection, rows


class Table(NamedTuple):
    """A view of schema `read`: what tells one row from another, and the order in which the log gives its rows.

    All its columns are compared: a column for which the auditor has no rule is a difference.
    """

    name: LiteralString
    key: tuple[str, ...]
    order: LiteralString
    source: LiteralString = ""  # what stands in place of the view, where rows are sums of it


BALANCES = Table("balances", ("org", "address"), "org, address")
TRANSACTIONS = Table("transactions", ("org", "address", "position", "n"), "org, address, position, n")
RESERVATIONS = Table("reservations", ("org", "id", "address"), "org, address, created_position")
GRANTS = Table("grants", ("org", "address", "id"), "org, address, id")
DEBITS = Table("debits", ("org", "id"), "org, address, position")
PRICES = Table("prices", ("version",), "version")
GENERATIONS = Table("generations", ("org", "id"), "org, id")
STORAGES = Table("storages", ("org", "user_id"), "org, user_id")
CONTENTS = Table("contents", ("org", "id"), "org, user_id, created_position")
GROUPS = Table("groups", ("org", "id"), "org, id")
MEMBERS = Table("members", ("org", "group_id", "user_id"), "org, group_id, user_id")
BUDGETS = Table("budgets", ("org", "user_id"), "org, user_id")
USE_HOLDS = Table("use_holds", ("org", "stream", "generation_id"), "org, stream, generation_id")
SETTINGS = Table("settings", ("org", "owner", "id"), "org, owner, id")

TABLES = (
    *(BALANCES, TRANSACTIONS, RESERVATIONS, GRANTS, DEBITS, PRICES),
    *(GENERATIONS, STORAGES, CONTENTS, GROUPS, MEMBERS, BUDGETS, USE_HOLDS, SETTINGS),
)


# What all use of an organisation adds up to; one that used nothing has no row.
USED: tuple[LiteralString, ...] = ("credits", "tokens", "plan_tokens", "other", "usd")
_SUMS: LiteralString = ", ".join("sum(" + name + ") as " + name for name in USED)
USAGE = Table(
    "usage",
    ("org",),
    "org",
    "(select org, " + _SUMS + " from read.usage group by org) u where (" + ", ".join(USED) + ") <> (0, 0, 0, 0, 0)",
)

NO_RULE = "a column for which the auditor has a rule"


class NotShown(Differs):
    """A read model that does not show what the log says."""


class Shown:
    """One table's rows, taken off one by one."""

    def __init__(self, connection: Connection, table: Table) -> None:
        self.name = table.name
        self._table = table
        source: LiteralString = table.source or "read." + table.name
        self._rows = rows(connection, "select * from " + source + " order by " + table.order, make=dict_row)

    def must_show(self, expected: Row) -> None:
        """The table's next row must be `expected`, in every column. Raises NotShown."""
        found = next(self._rows, None)
        if found is None:
            raise NotShown(f"read model {self.name}", f"a row {self._key(expected)}", "no further row")
        for column, value in found.items():
            if value != expected.get(column, NO_RULE):
                self._differ(expected, found, column)

    def must_end(self) -> None:
        """The table must have no further row. Raises NotShown."""
        for found in self._rows:
            raise NotShown(f"read model {self.name}", "no further row", f"a row {self._key(found)}")

    def _differ(self, expected: Row, found: Row, column: str) -> None:
        if self._key(expected) == self._key(found):
            where = f"{column} of read model {self.name}, row {self._key(expected)}"
            raise NotShown(where, expected.get(column, NO_RULE), found[column])
        raise NotShown(f"read model {self.name}", f"a row {self._key(expected)}", f"a row {self._key(found)}")

    def _key(self, row: Row) -> str:
        return " ".join(f"{name}={row.get(name)}" for name in self._table.key)
