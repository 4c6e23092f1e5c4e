"""The tables of the read models, as the auditor reads them: rows in the order in which the log gives them."""

from typing import Any, LiteralString, NamedTuple

from infra.audit.expected import Row
from infra.audit.report import Differs
from infra.audit.store import Connection, rows


class Table(NamedTuple):
    """A view of schema `read`: its columns (names of SQL), its key, and its order."""

    name: LiteralString
    columns: tuple[LiteralString, ...]
    key: int  # how many of the columns tell one row from another
    order: LiteralString
    source: LiteralString = ""  # what stands in place of the view, where rows are sums of it


_AMOUNTS: tuple[LiteralString, ...] = ("granted", "debited", "refunded", "expired", "voided")
_IDS: tuple[LiteralString, ...] = ("grant_id", "reservation_id", "debit_id", "refund_id", "transfer_id")
_PRICED: tuple[LiteralString, ...] = ("item", "price_version", "sealed", "created_at")
_WORK: tuple[LiteralString, ...] = ("operation", "provider", "model")

BALANCES = Table(
    "balances",
    (
        *("org", "address", "owner_type", "owner_id", "unit", *_AMOUNTS, "transferred_in", "transferred_out"),
        *("reserved", "available", "frozen", "closed", "credit_limit", "shortfall", "allowance"),
        *("allowance_granted", "allowance_cycle", "refresh_at", "version", "position", "updated_at"),
    ),
    2,
    "org, address",
)
TRANSACTIONS = Table(
    "transactions",
    (
        *("org", "address", "position", "n", "type", "amount", "balance_after", *_IDS),
        *("counterparty", "generation_id", "item", "actor", "sealed", "created_at"),
    ),
    4,
    "org, address, position, n",
)
RESERVATIONS = Table(
    "reservations",
    (
        *("org", "id", "address", "status", "amount", "captured", "returned", "left", "expires_at"),
        *("item", "price_version", "generation", "sealed", "created_at", "created_position", "ended_at", "position"),
        *_WORK,
    ),
    3,
    "org, address, created_position",
)
GRANTS = Table(
    "grants",
    (
        *("org", "address", "id", "source", "priority", "status", "amount", "remaining", "reserved", "spent"),
        *("expired", "voided", "transferred_out", "granted_at", "effective_at", "expires_at"),
        *("external_ref", "paid_amount", "paid_currency", "sealed", "position"),
    ),
    3,
    "org, address, id",
)
DEBITS = Table(
    "debits",
    ("org", "id", "address", "amount", "refunded", "reservation_id", *_PRICED, "position", "user_id", *_WORK),
    2,
    "org, address, position",
)
PRICES = Table("prices", ("version", "effective_at", "entries", "published_at", "position"), 1, "version")

GENERATIONS = Table(
    "generations",
    (
        *("org", "id", "user_id", "operation", "provider", "model", "options", "count", "feature", "token_type"),
        *("parent_id", "status", "reason", "outcome", "quoted_credits", "quoted_tokens", "quoted_usd"),
        *("quoted_bytes", "quoted_plan_tokens", "item", "price_version", "charged_credits", "charged_tokens"),
        *("charged_usd", "charged_plan_tokens", "refunded_credits", "refunded_tokens", "refunded_usd"),
        *("refunded_plan_tokens", "uncharged", "shortfall", "holds", "succeeded", "contents", "content_bytes"),
        *("provider_cost", "provider_currency", "generation_time_ms", "created_at", "started_at", "ended_at"),
        *("expires_at", "actor", "sealed", "sealed_end", "created_position", "version", "position"),
    ),
    2,
    "org, id",
)
STORAGES = Table(
    "storages",
    ("org", "user_id", "used", "held", "storage_limit", "version", "position", "updated_at"),
    2,
    "org, user_id",
)
CONTENTS = Table(
    "contents",
    (
        *("org", "id", "user_id", "bytes", "generation_id", "sealed", "created_at", "created_position"),
        *("deleted_at", "position"),
    ),
    2,
    "org, user_id, created_position",
)
GROUPS = Table(
    "groups",
    (
        *("org", "id", "name", "description", "limits", "every", "member_count", "used", "held", "period_key"),
        *("idle_key", "period_start", "period_end", "created_at", "deleted_at", "version", "position", "updated_at"),
    ),
    2,
    "org, id",
)
MEMBERS = Table(
    "members",
    ("org", "group_id", "user_id", "joined_at", "position"),
    3,
    "org, group_id, user_id",
)
BUDGETS = Table(
    "budgets",
    (
        *("org", "user_id", "monthly", "ceiling", "used", "held", "period_key", "idle_key"),
        *("period_start", "period_end", "version", "position", "updated_at"),
    ),
    2,
    "org, user_id",
)
USE_HOLDS = Table(
    "use_holds",
    ("org", "stream", "generation_id", "amounts", "period", "expires_at", "position"),
    3,
    "org, stream, generation_id",
)

TABLES = (
    *(BALANCES, TRANSACTIONS, RESERVATIONS, GRANTS, DEBITS, PRICES),
    *(GENERATIONS, STORAGES, CONTENTS, GROUPS, MEMBERS, BUDGETS, USE_HOLDS),
)


# What all use of an organisation adds up to; one that used nothing has no row.
USED: tuple[LiteralString, ...] = ("credits", "tokens", "plan_tokens", "other", "usd")
_SUMS: LiteralString = ", ".join("sum(" + name + ") as " + name for name in USED)
USAGE = Table(
    "usage",
    ("org", *USED),
    1,
    "org",
    "(select org, " + _SUMS + " from read.usage group by org) u where (" + ", ".join(USED) + ") <> (0, 0, 0, 0, 0)",
)


class NotShown(Differs):
    """A read model that does not show what the log says."""


class Shown:
    """One table's rows, taken off one by one."""

    def __init__(self, connection: Connection, table: Table) -> None:
        self.name = table.name
        self._table = table
        quoted: LiteralString = '", "'.join(table.columns)
        source: LiteralString = table.source or "read." + table.name
        query: LiteralString = 'select "' + quoted + '" from ' + source + " order by " + table.order
        self._rows = rows(connection, query)

    def must_show(self, expected: Row) -> None:
        """The table's next row must be `expected`, in every column. Raises NotShown."""
        table = self._table
        found = next(self._rows, None)
        if found is None:
            raise NotShown(f"read model {self.name}", f"a row {self._key(expected)}", "no further row")
        for column, value in zip(table.columns, found, strict=True):
            if value != expected[column]:
                self._differ(expected, dict(zip(table.columns, found, strict=True)), column)

    def must_end(self) -> None:
        """The table must have no further row. Raises NotShown."""
        for found in self._rows:
            row = dict(zip(self._table.columns, found, strict=True))
            raise NotShown(f"read model {self.name}", "no further row", f"a row {self._key(row)}")

    def _differ(self, expected: Row, found: Row, column: str) -> None:
        if self._key(expected) == self._key(found):
            where = f"{column} of read model {self.name}, row {self._key(expected)}"
            raise NotShown(where, expected[column], found[column])
        raise NotShown(f"read model {self.name}", f"a row {self._key(expected)}", f"a row {self._key(found)}")

    def _key(self, row: dict[str, Any]) -> str:
        return " ".join(f"{name}={row[name]}" for name in self._table.columns[: self._table.key])
