"""The log, folded by the reference, beside the read models: every row of what moves or limits something, both ways."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby

from infra.audit.expected import Row, Stored
from infra.audit.reference import Json
from infra.audit.report import Differs, Section
from infra.audit.rules import tag_of
from infra.audit.store import Connection
from infra.audit.streams import Streams, Transfers
from infra.audit.tables import TABLES, USAGE, Shown
from infra.audit.together import Together, differing
from infra.log.events import LedgerEvent
from infra.log.postgres import PostgresLog


class ReadModels:
    """The read models of one moment; what the log says is taken off them until nothing is left."""

    def __init__(self, connection: Connection, section: Section) -> None:
        self._section = section
        self.tables = {table.name: Shown(connection, table) for table in (*TABLES, USAGE)}

    def must_show(self, name: str, expected: Iterable[Row]) -> None:
        """The next rows of a table must be these."""
        for row in expected:
            self.tables[name].must_show(row)
            self._section.count(name)

    def must_end(self) -> None:
        """Nothing else may be shown."""
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
