"""The SQL of the event log. Every statement that the writer runs is here, with the reason for its shape."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple, Protocol

import psycopg

from infra.postgres.session import options

Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]


class Session(Protocol):
    """What statements are run with: a psycopg cursor with binary results, or a `Pipeline`."""

    def execute(self, query: LiteralString, arguments: Sequence[Any] = ..., /) -> Any:
        """Have a query run."""


# The connection is gone, whatever the statement was: also where the server has ended it because we stood still.
LOST = (
    *(psycopg.OperationalError, psycopg.InterfaceError),
    *(psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout),
)
# Of the stored form of an event that a command decides. With its headers, of some 8 KB at most, it must fit into a
# record batch of the relay and below Kafka's max.message.bytes (1,048,588 by default).
MAX_EVENT_BYTES = 900_000
MAX_TAIL = 2000  # events read under the lock; whoever is further behind reloads what it needs instead

COLUMNS = "partition, position, org, stream, version, type, tag, actor, time, data, hash"


class Head(NamedTuple):
    """The last event of a partition."""

    position: int
    hash: bytes
    time: datetime | None


class CommandRow(NamedTuple):
    """An idempotency row."""

    org: str
    caller: str
    key: str
    fingerprint: bytes | None
    partition: int
    position: int
    events: int
    refusal: bytes | None


# The lock is a row that only the writer may lock: any login could hold an advisory lock. A lock and a look in one
# statement would see the snapshot from before the wait, and fork the log.
LOCK = """
    select partition from partition_locks where partition = any(%b::smallint[]) order by partition
    for no key update"""

HEADS = """
    select p, e.position, e.hash, e.time
    from unnest(%b::smallint[]) p
    cross join lateral (
        select position, hash, time from events where partition = p order by position desc limit 1
    ) e"""

# Clock and tails in one statement, and so of one moment. The event that was seen last comes along, to show that it is
# still there. There is always a row, with the time and how long the transaction has waited for its locks, in seconds.
LOOK = f"""
    select scrip_now(), extract(epoch from clock_timestamp() - transaction_timestamp())::float8, e.*
    from (select) as one
    left join lateral (
        select events.* from unnest(%b::smallint[], %b::bigint[]) as seen (p, last)
        cross join lateral (
            select {COLUMNS} from events where partition = seen.p and position >= seen.last
            order by position limit {MAX_TAIL + 1}
        ) events
    ) e on true
    order by e.partition, e.position"""

# A snapshot comes as a row without a type, its state in the place of the data; without it where that has more bytes
# than were asked for, and then no events follow. Of a stream come the events after a version, only so many as were
# asked for. `limit 1` keeps the planner at one index look-up for each wanted row; as a plain join it may read the whole
# table.
STREAMS = """
    select wanted.org, wanted.stream, e.version, e.type, e.data
    from unnest(%b::text[], %b::text[], %b::smallint[], %b::bigint[], %b::bigint[], %b::bigint[])
        as wanted (org, stream, schema, after, bytes, events)
    left join lateral (
        select version, case when octet_length(state) <= wanted.bytes then state end as state from snapshots
        where org = wanted.org and stream = wanted.stream and snapshots.schema = wanted.schema limit 1
    ) s on true
    cross join lateral (
        select s.version, null as type, s.state as data where s.version is not null
        union all
        (select version, type, data from events
        where org = wanted.org and stream = wanted.stream and version > coalesce(s.version, wanted.after)
        and (s.version is null or s.state is not null)
        order by version limit wanted.events)
    ) e"""

# The next events of one stream.
PAGE = """
    select version, type, data from events where org = %b::text and stream = %b::text and version > %b::bigint
    order by version limit %b::bigint"""

TAGGED = """
    select e.org, e.tag, e.position, e.stream, e.type, e.data
    from unnest(%b::text[], %b::text[]) as wanted (org, tag)
    cross join lateral (
        select org, tag, position, stream, type, data from events where org = wanted.org and tag = wanted.tag
        order by position
    ) e"""

# Text columns travel as one joined text each: dumping an array element by element cost a seventh of the writer's time.
# No id, type or key has control characters; one that had would give columns of unequal length, which not-null refuses.
_JOINED = "string_to_array(%b::text, E'\\x1f', E'\\x1e')"

COMMANDS = f"""
    select c.* from unnest({_JOINED}, {_JOINED}, {_JOINED}) as wanted (org, caller, key)
    cross join lateral (
        select org, caller, key, fingerprint, partition, position, events, refusal from commands
        where org = wanted.org and caller = wanted.caller and key = wanted.key limit 1
    ) c"""

RANGES = f"""
    select e.* from unnest(%b::smallint[], %b::bigint[], %b::int[]) as wanted (p, last, count)
    cross join lateral (
        select {COLUMNS} from events
        where partition = wanted.p and position > wanted.last - wanted.count and position <= wanted.last
        order by position
    ) e"""

INSERT_EVENTS = f"""
    insert into events ({COLUMNS})
    select * from unnest(%b::smallint[], %b::bigint[], {_JOINED}, {_JOINED}, %b::bigint[], {_JOINED}, {_JOINED},
                         {_JOINED}, %b::timestamptz[], %b::bytea[], %b::bytea[])"""

INSERT_COMMANDS = f"""
    insert into commands (org, caller, key, fingerprint, partition, position, events, refusal)
    select * from unnest({_JOINED}, {_JOINED}, {_JOINED}, %b::bytea[], %b::smallint[], %b::bigint[], %b::int[],
                         %b::bytea[])"""

UPSERT_SNAPSHOTS = """
    insert into snapshots (org, stream, version, schema, state)
    select * from unnest(%b::text[], %b::text[], %b::bigint[], %b::smallint[], %b::bytea[])
    on conflict (org, stream) do update set version = excluded.version, schema = excluded.schema, state = excluded.state
    where snapshots.version < excluded.version or snapshots.schema <> excluded.schema"""

SNAPSHOT = """
    select version, schema, state from snapshots where org = %(org)s and stream = %(stream)s
    and (%(gt)s::bigint is null or version > %(gt)s) and (%(lte)s::bigint is null or version <= %(lte)s)"""

LAST_POSITIONS = """
    select p, coalesce((select max(position) from events where partition = p), 0)
    from generate_series(0, %(partitions)s::int - 1) p"""

LAST_POSITION = "select coalesce(max(position), 0) from events where partition = %(partition)s"

AT = f"select {COLUMNS} from events where partition = %(partition)s and position = any(%(positions)s::bigint[])"

OF_TAGS = f"""
    select {COLUMNS} from events where org = %(org)s and tag = any(%(tags)s::text[])
    order by position limit %(limit)s"""

BY_STREAM = f"""
    select {COLUMNS} from events
    join unnest(%(partitions)s::smallint[], %(last)s::bigint[]) as cut (partition, last) using (partition)
    where position <= cut.last and (%(org)s::text is null or org = %(org)s)
    order by org, stream, version"""


def of_stream(*, desc: bool) -> LiteralString:
    """A stream's events by version."""
    return f"""
        select {COLUMNS} from events where org = %(org)s and stream = %(stream)s
        and (%(gt)s::bigint is null or version > %(gt)s) and (%(lte)s::bigint is null or version <= %(lte)s)
        and (%(until)s::timestamptz is null or time <= %(until)s)
        order by version {"desc" if desc else "asc"} limit %(limit)s"""


def notifications(*, of_org: bool, of_stream: bool, desc: bool, bounded: bool) -> LiteralString:
    """Events of a partition by position: of all or of one organisation, or of a stream of that, found by its index.

    `bounded` by a number of bytes too. The limit comes before their sum, so that a reader who is far behind does not
    add up the rest of the log.
    """
    whose: LiteralString = "partition = %(partition)s" + (" and org = %(org)s" if of_org else "")
    if of_stream:
        whose = "org = %(org)s and stream = %(stream)s"
    order: LiteralString = "version" if of_stream else "position"  # the same within a stream, and its index has it
    if desc:
        order += " desc"
    found: LiteralString = f"""
        select {COLUMNS} from events
        where {whose} and position > %(after)s and position <= %(until)s
        and (%(topics)s::text[] is null or type = any(%(topics)s))
        and (%(actor)s::text is null or actor = %(actor)s)
        order by {order} limit %(limit)s"""
    if not bounded:
        return found
    return f"""
        select {COLUMNS} from (
            select n.*, sum(length(data)) over (order by {order}) - length(data) as before from ({found}) n
        ) e where before < %(bytes)s order by {order}"""


# Planning costs three times as much as running these statements, so each is planned once, for whatever arguments. As
# that may be on empty tables, where every way looks equally short, only those by an index are left to choose from.
_CONNECTED: dict[str, Any] = {
    "autocommit": True,
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    # A process that stands still with a partition's lock holds up all others: for no longer than these. In a pipeline
    # a session never counts as idle, so the whole transaction has a limit, with room for waiting and for a batch of
    # many thousands of ended holds: one that could never be done would be tried for ever. The last is for a process
    # that does not read its answer.
    "options": options(
        "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off"
        " -c lock_timeout=10s -c statement_timeout=60s -c idle_in_transaction_session_timeout=10s"
        " -c transaction_timeout=30s -c tcp_user_timeout=10s"
    ),
}


def connect(uri: str, application: str) -> Connection:
    """A connection for the log: explicit transactions, bounded waits, plans made once."""
    connection = psycopg.connect(uri, application_name=application, **_CONNECTED)
    connection.prepare_threshold = 0
    return connection


async def connect_async(uri: str, application: str) -> AsyncConnection:
    """The same for an event loop."""
    connection = await psycopg.AsyncConnection.connect(uri, application_name=application, **_CONNECTED)
    connection.prepare_threshold = 0
    return connection


class NotLocked(Exception):
    """A partition has no row to lock, so that nothing may be written to it: the migrations make one for each."""


def lock(session: Session, partitions: Sequence[int]) -> Any:
    """Wait for the partitions' locks, in ascending order, so that two writers never wait for each other in a circle.

    Returns what fetches the rows that were locked, for `must_be_locked` before anything is committed.
    """
    return session.execute(LOCK, (sorted(partitions),))


def must_be_locked(partitions: Sequence[int], rows: Sequence[Any]) -> None:
    """Raises NotLocked where one of the partitions is not among the rows that `lock` has found."""
    missing = set(partitions) - {partition for (partition,) in rows}
    if missing:
        raise NotLocked(f"partition_locks has no row for {sorted(missing)}: run the migrations")


def insert_commands(session: Session, rows: Sequence[CommandRow]) -> None:
    """Insert idempotency rows. Raises psycopg.errors.UniqueViolation where a key is taken."""
    if rows:
        orgs, callers, keys, *rest = columns(rows, len(CommandRow._fields))
        session.execute(INSERT_COMMANDS, (joined(orgs), joined(callers), joined(keys), *rest))


def find_commands(session: Session, keys: Sequence[tuple[str, str, str]]) -> Any:
    """Send the look-up of idempotency rows by organisation, caller and key; returns what fetches them."""
    return session.execute(COMMANDS, tuple(joined(column) for column in columns(keys, 3)))


NULL = "\x1e"  # of a text among joined ones


def joined(texts: Sequence[str]) -> str:
    """Texts as `_JOINED` takes them apart again."""
    return "\x1f".join(texts)


def columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows turned into one list for each column, as `unnest` takes them."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
