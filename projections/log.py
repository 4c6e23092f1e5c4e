"""Reading the log from PostgreSQL, for rebuilds: by partition and in order of position."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

Connection = psycopg.Connection[Any]

COLUMNS = "partition, position, org, stream, version, type, actor, time, data"
CHUNK = 5_000  # events


class LogRow(NamedTuple):
    """What a fold needs of one row of the table `events`."""

    partition: int
    position: int
    org: str
    stream: str
    version: int
    type: str
    actor: str
    time: datetime
    data: bytes


def ends(connection: Connection) -> dict[int, int]:
    """The last committed position of every partition, 0 where there is none."""
    rows = connection.execute(
        "select p, coalesce((select max(position) from public.events where partition = p), 0)"
        " from public.log, generate_series(0, log.partitions - 1) p order by p"
    )
    return dict(rows.fetchall())


def stream(connection: Connection, partition: int, last: int) -> Iterator[LogRow]:
    """All events of a partition up to position `last`; the next chunk is read while one is being folded."""
    with ThreadPoolExecutor(1, "log") as ahead:
        coming = ahead.submit(after, connection, partition, 0, min(CHUNK, last))
        while rows := coming.result():
            position = rows[-1].position
            coming = ahead.submit(after, connection, partition, position, min(CHUNK, last - position))
            yield from rows


def after(connection: Connection, partition: int, position: int, limit: int) -> list[LogRow]:
    """At most `limit` events of a partition after `position`."""
    if limit <= 0:
        return []
    rows = connection.execute(
        f"select {COLUMNS} from public.events where partition = %s and position > %s order by position limit %s",
        (partition, position, limit),
        binary=True,
    )
    return [LogRow._make(row) for row in rows]
