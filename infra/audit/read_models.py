"""The log, folded by the reference, beside the read models: every row of what moves or limits something, both ways."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import LiteralString, NamedTuple

from psycopg.rows import dict_row

from infra.audit.expected import Row, Stored
from infra.audit.reference import Json
from infra.audit.report import Differs, Section
from infra.audit.rules import tag_of
from infra.audit.store import Connection, rows
from infra.audit.streams import USED, Streams, Transfers
from infra.audit.together import Together, differing
from infra.log.events import LedgerEvent
from infra.log.postgres import PostgresLog


class ReadModels:
    """The read models of one moment; what the log says is taken off them until nothing is left."""

    def __init__(self, connection: Connection, section: Section) -> None:
        self._section = section
        self.tables = {table.name: Shown(connection, table) for table in (*TABLES, USAGE)}

    def must_show(self, name: str, expected: Iterable[Row]) -> None:
        for row in expected:
            self.tables[name].must_show(row)
            self._section.count(name)

    def must_end(self) -> None:
        for table in self.tables.values():
            table.must_end()


def check_ledger(
    connection: Connection,
    cut: Mapping[int, int],
    section: Section,
    shown: ReadModels | None = None,
    step: Callable[[int], None] = lambda _done: None,
) -> None:
    """Fold the log up to `cut`, stream by stream, check every rule after every event, and compare with what is `shown`.

    The connection must be in a repeatable-read transaction, `cut` be the read models' checkpoints where they are
    compared: then it may fall into the middle of a command. Raises Differs at the first event that breaks a rule or
    row that is not as it must be.
    """
    transfers = Transfers(cut)
    last_times = _times(connection, cut) if shown is not None else {}
    log = PostgresLog.within(connection)
    events = _read(log.by_stream(cut), section, step)
    for org, group in groupby(events, key=lambda event: event.org):
        streams = Streams(section, shown, transfers, Together(last_times))
        for stream, own in groupby(group, key=lambda event: event.stream):
            streams.fold(org, stream, own)
        streams.end(org)
        if not streams.together.agrees:
            expected, found = differing(map(_stored, log.by_stream(cut, org)), last_times)
            raise Differs(f"generations of organisation {org}", expected, found)
    transfers.must_match()
    if shown is not None:
        shown.must_end()


def _times(connection: Connection, cut: Mapping[int, int]) -> dict[int, datetime]:
    """When the last event of each partition was."""
    found = connection.execute(
        "select e.partition, e.time from events e join unnest(%s::smallint[], %s::bigint[]) as cut (partition, last)"
        " on e.partition = cut.partition and e.position = cut.last",
        (list(cut), list(cut.values())),
    )
    return dict(found.fetchall())


def _read(events: Iterable[LedgerEvent], section: Section, step: Callable[[int], None]) -> Iterator[Stored]:
    """Events with their bytes read as JSON; a stream's versions have no gap and its rows say what the bytes say."""
    before: Stored | None = None
    for count, row in enumerate(events, 1):
        event = _stored(row)
        where = f"partition {event.partition} position {event.position}"
        if before is None or (before.org, before.stream) != (event.org, event.stream):
            version, position = 1, 0
        else:
            version, position = before.version + 1, before.position
        if event.version != version or event.position <= position:
            raise Differs(f"version of {where} in stream {event.stream}", version, event.version)
        tag = _tag(where, event)
        if event.tag != tag:
            raise Differs(f"tag of {where}", tag, event.tag)
        section.count("events")
        if not count % 1000:
            step(1000)
        yield event
        before = event


def _stored(row: LedgerEvent) -> Stored:
    return Stored(*row[:9], _data(f"partition {row.partition} position {row.position}", row.actor, row.data))


def _data(where: str, actor: str, stored: bytes) -> Json:
    try:
        said = json.loads(stored)
        data, who = said["data"], said["actor"]
    except (ValueError, KeyError, TypeError) as error:
        raise Differs(f"bytes of {where}", "JSON with actor, cause and data", error) from error
    if who != actor:
        raise Differs(f"actor of {where}", who, actor)
    if not isinstance(data, dict):
        raise Differs(f"bytes of {where}", "an object under data", type(data).__name__)
    return data


def _tag(where: str, event: Stored) -> str | None:
    try:
        return tag_of(event.type, event.data)
    except (KeyError, TypeError, IndexError) as error:
        raise Differs(f"bytes of {where}", f"the fields of {event.type}", f"{type(error).__name__}: {error}") from error


class Table(NamedTuple):
    """A view of schema `read`: its key, and the order in which the log gives its rows.

    All its columns are compared: a column for which the auditor has no rule is a difference.
    """

    name: LiteralString
    key: tuple[str, ...]
    order: LiteralString
    source: LiteralString = ""  # what is read in place of the view, where rows are sums of it


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
