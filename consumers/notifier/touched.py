"""What has changed since the notifier last looked: the streams in the part of the log that the read models hold."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg

MOST = 5_000  # events of a partition in one look

# The views and the log are read by one statement, so that no event is passed before the read models have it.
_AHEAD = """
    select c.partition, coalesce(p.position, 0), least(c.position, coalesce(p.position, 0) + %(most)s)
    from read.checkpoints c left join notifier_positions p on p.name = %(name)s and p.partition = c.partition
    where c.position > coalesce(p.position, 0)"""
# With a limit, so that no plan reads the whole log for these few.
_STREAMS = f"""
    select distinct e.org, e.stream from unnest(%b::smallint[], %b::bigint[], %b::bigint[]) as w (partition, past, upto)
    cross join lateral (
        select org, stream from events where partition = w.partition and position > w.past and position <= w.upto
        order by position limit {MOST}
    ) e"""
_ADVANCE = """
    insert into notifier_positions (name, partition, position)
    select %b, * from unnest(%b::smallint[], %b::bigint[])
    on conflict (name, partition) do update set position = excluded.position
    where notifier_positions.position < excluded.position"""


class Part(NamedTuple):
    """Positions of one partition: those after `past`, up to and including `upto`."""

    partition: int
    past: int
    upto: int


class Names(NamedTuple):
    """Things of one kind in several organisations: two lists of one length."""

    orgs: list[str]
    ids: list[str]


class Touched:
    """Streams by kind (`account`, `budget`, `group`, `generation`, `purchase`), each once."""

    def __init__(self, streams: Mapping[str, Names]) -> None:
        self._streams = streams

    def names(self, kind: str) -> Names:
        """The organisations and ids of the streams of a kind."""
        return self._streams.get(kind) or Names([], [])


async def ahead(connection: "psycopg.AsyncConnection[Any]", name: str) -> list[Part]:
    """What lies between the position kept under `name` and that of the read models; nothing where they are equal."""
    cursor = await connection.execute(_AHEAD, {"name": name, "most": MOST})
    return [Part(*row) for row in await cursor.fetchall()]


async def touched_in(connection: "psycopg.AsyncConnection[Any]", parts: list[Part]) -> Touched:
    """The streams that have events in these parts of the log."""
    found: dict[str, Names] = defaultdict(lambda: Names([], []))
    cursor = await connection.execute(_STREAMS, _columns(parts))
    for org, stream in await cursor.fetchall():
        kind, _, id_ = stream.partition("/")
        found[kind].orgs.append(org)
        found[kind].ids.append(id_)
    return Touched(found)


async def advance(connection: "psycopg.AsyncConnection[Any]", name: str, parts: list[Part]) -> None:
    """Keep under `name` that these parts are dealt with."""
    if parts:
        partitions, _, upto = _columns(parts)
        await connection.execute(_ADVANCE, (name, partitions, upto))


def _columns(parts: list[Part]) -> tuple[list[int], list[int], list[int]]:
    return [part.partition for part in parts], [part.past for part in parts], [part.upto for part in parts]
