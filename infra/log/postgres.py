"""The event log in PostgreSQL, behind the views of `infra/log/recorder.py`: the writer's own insert, locks, hashes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from itertools import count
from typing import Any, Self
from uuid import UUID

import psycopg
from eventsourcing.persistence import AggregateRecorder, IntegrityError, OperationalError, StoredEvent
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from infra.log import statements
from infra.log.events import Drafted, LedgerEvent
from infra.log.mapper import READING, LedgerMapper
from infra.log.recorder import EMPTY, EventLog, Wanted, placed
from infra.log.statements import NULL, Connection, Head, columns, joined
from infra.postgres.session import options

TIMEOUT_S = 10.0  # of a wait for a connection of the pool
ROWS = 2_000  # of a long read that are in memory at once
_numbers = count()  # names of the server's cursors need only differ within a connection

Cursor = psycopg.Cursor[Any]
# A cursor with binary results, for one organisation or for all. For one it may be that of a login that row level
# security shows no other; for all it must be one that sees every position.
Sessions = Callable[[str | None], AbstractContextManager[Cursor]]

CONNECTED: dict[str, Any] = {
    "autocommit": True,
    "connect_timeout": 5,
    "prepare_threshold": 0,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": options(
        # A plan made for an empty log would read a full one from end to end.
        "-c plan_cache_mode=force_custom_plan -c lock_timeout=10s -c statement_timeout=30s"
        " -c idle_in_transaction_session_timeout=10s -c transaction_timeout=30s"
    ),
}


class PostgresLog(EventLog):
    """The log of one database."""

    snapshots: "PostgresSnapshots"

    def __init__(
        self, sessions: Sessions, mapper: LedgerMapper, partitions: int, log_id: str, *, foreign: bool = False
    ) -> None:
        super().__init__(mapper, partitions, log_id, foreign=foreign)
        self.snapshots = PostgresSnapshots(sessions)
        self._sessions = sessions

    @classmethod
    @contextmanager
    def open(
        cls, uri: str, mapper: LedgerMapper = READING, *, application: str, pool: int = 1, foreign: bool = False
    ) -> Iterator[Self]:
        """A log with up to `pool` connections of its own, which are closed at the end.

        Raises OperationalError; NoLog for a database without a log.
        """
        kwargs = {**CONNECTED, "application_name": application}
        with ConnectionPool(
            uri, min_size=1, max_size=pool, timeout=TIMEOUT_S, open=False, kwargs=kwargs
        ) as connections:
            yield cls._found(sessions_of(connections), mapper, foreign=foreign)

    @classmethod
    def within(cls, connection: Connection, mapper: LedgerMapper = READING) -> Self:
        """A log on the caller's connection: what is read is part of its transaction, and what its login sees.

        Raises OperationalError; NoLog for a database without a log.
        """
        return cls._found(lambda _org: connection.cursor(binary=True), mapper)

    @classmethod
    def _found(cls, sessions: Sessions, mapper: LedgerMapper, *, foreign: bool = False) -> Self:
        with _translated(), sessions(None) as session:
            row = session.execute("select partitions, id::text from log").fetchone()
        if row is None:
            raise NoLog("the database holds no log yet: migrate it first")
        return cls(sessions, mapper, *row, foreign=foreign)

    @staticmethod
    def append(session: statements.Session, events: Sequence[LedgerEvent]) -> None:
        """Insert events whose places were given out under the partition's lock: THE insert of the log.

        It is one statement of the caller's transaction, so that a batch may have events of many partitions. Raises
        psycopg.errors.UniqueViolation where a position or a stream's version is taken.
        """
        if not events:
            return
        partitions, positions, orgs, streams, versions, types, tags, actors, times, data, hashes = columns(events, 11)
        tags = [NULL if tag is None else tag for tag in tags]
        whose, what = map(joined, (orgs, streams)), map(joined, (types, tags, actors))
        values = (partitions, positions, *whose, versions, *what, times, data, hashes)
        session.execute(statements.INSERT_EVENTS, values)

    def _store(self, partition: int, drafted: Sequence[Drafted]) -> list[LedgerEvent]:
        with _translated(), self._sessions(None) as cursor, cursor.connection.transaction():
            statements.must_be_locked([partition], statements.lock(cursor, [partition]).fetchall())
            # The looks are statements of their own after the lock's, which sees what was there before its wait.
            found = cursor.execute(statements.HEADS, ([partition],)).fetchone()
            ((now,),) = cursor.execute("select scrip_now()").fetchall()
            events = placed(partition, Head(*found[1:]) if found else EMPTY, now, drafted)
            self.append(cursor, events)
        return events

    def head(self, partition: int) -> int:
        """See `EventLog`."""
        ((last,),) = self._rows(None, statements.LAST_POSITION, {"partition": partition})
        return int(last)

    def heads(self) -> dict[int, int]:
        """See `EventLog`. One statement."""
        return dict(self._rows(None, statements.LAST_POSITIONS, {"partitions": self.partitions}))

    def at(self, partition: int, positions: Sequence[int]) -> dict[int, LedgerEvent]:
        """See `EventLog`."""
        found = self._events(None, statements.AT, {"partition": partition, "positions": list(positions)})
        return {event.position: event for event in found}

    def tagged(self, org: str, tags: Sequence[str], limit: int) -> list[LedgerEvent]:
        """See `EventLog`."""
        return self._events(org, statements.OF_TAGS, {"org": org, "tags": list(tags), "limit": limit})

    def by_stream(self, cut: Mapping[int, int], org: str | None = None) -> Iterator[LedgerEvent]:
        """See `EventLog`. By a cursor of the server's, in a transaction of its own or the caller's."""
        arguments = {"partitions": list(cut), "last": list(cut.values()), "org": org}
        with _translated(), self._sessions(None) as session:
            connection = session.connection
            idle = connection.info.transaction_status == TransactionStatus.IDLE
            with (
                connection.transaction() if idle else nullcontext(),
                connection.cursor(f"by_stream_{next(_numbers)}", binary=True) as cursor,
            ):
                cursor.itersize = ROWS
                for row in cursor.execute(statements.BY_STREAM, arguments):
                    yield LedgerEvent(*row)

    def in_stream(
        self, org: str, stream: str, *, gt: int | None, lte: int | None, desc: bool, limit: int | None,
        until: datetime | None,
    ) -> list[LedgerEvent]:  # fmt: skip
        """See `EventLog`."""
        wanted = {"org": org, "stream": stream, "gt": gt, "lte": lte, "limit": limit, "until": until}
        return self._events(org, statements.of_stream(desc=desc), wanted)

    def between(
        self, partition: int, after: int, until: int, limit: int, wanted: Wanted, *, desc: bool, max_bytes: int | None
    ) -> list[LedgerEvent]:
        """See `EventLog`."""
        query = statements.notifications(
            of_org=wanted.org is not None, of_stream=wanted.stream is not None, desc=desc, bounded=max_bytes is not None
        )
        arguments = {
            **wanted._asdict(),
            "topics": list(wanted.topics) or None,
            "partition": partition,
            "after": after,
            "until": until,
            "limit": limit,
            "bytes": max_bytes,
        }
        return self._events(wanted.org, query, arguments)

    def _events(self, org: str | None, query: Any, arguments: Mapping[str, Any]) -> list[LedgerEvent]:
        return [LedgerEvent(*row) for row in self._rows(org, query, arguments)]

    def _rows(self, org: str | None, query: Any, arguments: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a read: of one organisation, or of all that the login may see."""
        with _translated(), self._sessions(org) as cursor:
            return cursor.execute(query, arguments).fetchall()


class PostgresSnapshots(AggregateRecorder):
    """The newest snapshot of each stream, under the id `{org}/{stream}`; its topic is the number of its state's schema.

    Older ones are not kept, so that no more than one is found: a snapshot is a cache that may be emptied at any time.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> None:
        """Keep snapshots, each where it is newer or of another schema than the one that is kept."""
        with _translated(), self._sessions(None) as cursor:
            self.put(cursor, stored_events)

    @staticmethod
    def put(session: statements.Session, snapshots: Sequence[StoredEvent]) -> None:
        """The same as a statement of the caller's transaction."""
        if snapshots:
            rows = (
                (*str(each.originator_id).split("/", 1), each.originator_version, int(each.topic), each.state)
                for each in snapshots
            )
            session.execute(statements.UPSERT_SNAPSHOTS, columns(rows, 5))

    def select_events(
        self, originator_id: UUID | str, *, gt: int | None = None, lte: int | None = None, limit: int | None = None,
        **_order: Any,
    ) -> list[Drafted]:  # fmt: skip
        """The newest snapshot, if its version lies above `gt` and not above `lte`; or none."""
        org, _, stream = str(originator_id).partition("/")
        with _translated(), self._sessions(None) as cursor:
            wanted = {"org": org, "stream": stream, "gt": gt, "lte": lte}
            rows = cursor.execute(statements.SNAPSHOT, wanted).fetchall()[:limit]
        return [Drafted(org, stream, version, str(schema), None, "", state) for version, schema, state in rows]


class LogUnreachable(OperationalError, psycopg.OperationalError):
    """Both libraries' error, so that whoever knows one of them catches it."""


class NoLog(LogUnreachable, LookupError):
    """A database without a log: it may yet get one."""


class VersionTaken(IntegrityError, psycopg.IntegrityError):
    """The same."""


def sessions_of(pool: "ConnectionPool[Any]") -> Sessions:
    """Sessions of one login, whose connections are in autocommit mode."""

    @contextmanager
    def session(org: str | None) -> Iterator[Cursor]:
        with pool.connection() as connection, connection.cursor(binary=True) as cursor:
            if org is None:
                yield cursor
            else:
                # What a pipeline sends is one transaction. The setting ends with it: the next caller may be another's.
                with connection.pipeline():
                    cursor.execute("select set_config('scrip.org', %s, true)", (org,))
                    yield cursor

    return session


@contextmanager
def _translated() -> Iterator[None]:
    """Have what psycopg raises raised as the library's errors too."""
    try:
        yield
    except psycopg.IntegrityError as error:
        raise VersionTaken(str(error)) from error
    except psycopg.Error as error:
        raise LogUnreachable(str(error)) from error
