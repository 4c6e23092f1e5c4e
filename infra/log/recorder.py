"""The log as a recorder of the library `eventsourcing`: one organisation's events, by stream and by position.

The same `append`, lock and hash chain as the writer's. It keeps the library's promises to whoever writes with that
library; Scrip's own commands do not go this way.
"""

from collections.abc import Sequence
from threading import Event
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    Notification,
    OperationalError,
    StoredEvent,
    Subscription,
)
from psycopg_pool import ConnectionPool

from infra.log import statements
from infra.log.chain import GENESIS, link_of
from infra.log.events import LedgerEvent
from infra.log.statements import MAX_EVENT_BYTES, Head
from infra.partitions import partition_of
from infra.writer.draft import TICK

STREAM = "recorded/"
POLL_S = 0.02
PAGE = 500

# An originator's id is a UUID or a text, and comes back as what it was.
_AS_UUID, _AS_TEXT = "uuid:", "text:"


class StreamRecorder(AggregateRecorder):
    """Events of one organisation by stream. Thread-safe.

    `pool`: connections of the login scrip_writer in autocommit mode; `partitions`: how many the log has.
    """

    def __init__(self, pool: "ConnectionPool[Any]", org: str, partitions: int, actor: str = "recorder") -> None:
        self._pool = pool
        self._org = org
        self._partition = partition_of(org, partitions)
        self._actor = actor

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> Sequence[int] | None:
        """Append the events, all or none. Raises IntegrityError where a version is taken, OperationalError otherwise.

        Nothing is tried again here: after a lost connection only the caller can tell whether it would write twice.
        """
        self._insert(stored_events)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """A stream's events in the order of their versions, or the reverse."""
        rows = self._select(
            "select version, type, data from events where org = %(org)s and stream = %(stream)s"
            " and (%(gt)s::bigint is null or version > %(gt)s) and (%(lte)s::bigint is null or version <= %(lte)s)"
            f" order by version {'desc' if desc else 'asc'} limit %(limit)s",
            {"org": self._org, "stream": _stream_of(originator_id), "gt": gt, "lte": lte, "limit": limit},
        )
        return [StoredEvent(originator_id, version, type_, data) for version, type_, data in rows]

    def _insert(self, stored_events: Sequence[StoredEvent]) -> list[int]:
        if not stored_events:
            return []
        if any(len(event.state) > MAX_EVENT_BYTES for event in stored_events):
            raise OperationalError(f"an event has more than {MAX_EVENT_BYTES} bytes, so it could not be published")
        try:
            with (
                self._pool.connection() as connection,
                connection.transaction(),
                connection.cursor(binary=True) as cursor,
            ):
                locked = statements.lock(cursor, [self._partition]).fetchall()
                statements.must_be_locked([self._partition], locked)
                rows = self._rows(cursor, stored_events)
                statements.append(cursor, rows)
        except psycopg.IntegrityError as error:
            raise IntegrityError(error) from error
        except psycopg.Error as error:
            raise OperationalError(error) from error
        return [row.position for row in rows]

    def _rows(self, cursor: psycopg.Cursor[Any], stored_events: Sequence[StoredEvent]) -> list[LedgerEvent]:
        """The rows that follow the log's last event. The look comes in statements after the lock's."""
        found = cursor.execute(statements.HEADS, ([self._partition],)).fetchone()
        position, previous, last = Head(*found[1:]) if found else Head(0, GENESIS, None)
        ((now,),) = cursor.execute("select scrip_now()").fetchall()
        time = max(now, last + TICK) if last else now
        rows: list[LedgerEvent] = []
        for event in stored_events:
            position += 1
            row = LedgerEvent(
                self._partition,
                position,
                self._org,
                _stream_of(event.originator_id),
                event.originator_version,
                event.topic,
                None,
                self._actor,
                time,
                event.state,
                b"",
            )
            previous = link_of(previous, row)
            rows.append(row._replace(hash=previous))
        return rows

    def _select(self, sql: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
        try:
            with self._pool.connection() as connection, connection.cursor(binary=True) as cursor:
                return cursor.execute(sql, arguments).fetchall()  # type: ignore[no-any-return]
        except psycopg.Error as error:
            raise OperationalError(error) from error


class ScripRecorder(StreamRecorder, ApplicationRecorder):
    """The same with the order of all events: a notification's id is its position in the organisation's partition."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> Sequence[int]:
        """As in `StreamRecorder`; returns the positions."""
        return self._insert(stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """The organisation's events by position; where others share the partition, theirs are left out."""
        rows = self._select(
            "select position, stream, version, type, data from events"
            " where partition = %(partition)s and org = %(org)s and position > %(after)s"
            " and (%(stop)s::bigint is null or position <= %(stop)s)"
            " and (%(topics)s::text[] is null or type = any(%(topics)s)) order by position limit %(limit)s",
            {
                "partition": self._partition,
                "org": self._org,
                "after": 0 if start is None else start - inclusive_of_start,
                "stop": stop,
                "topics": list(topics) or None,
                "limit": limit,
            },
        )
        return [
            Notification(_originator_of(stream), version, type_, data, position)
            for position, stream, version, type_, data in rows
        ]

    def max_notification_id(self) -> int | None:
        """The position of the organisation's last event, or none."""
        rows = self._select(
            "select position from events where partition = %(partition)s and org = %(org)s"
            " order by position desc limit 1",
            {"partition": self._partition, "org": self._org},
        )
        return int(rows[0][0]) if rows else None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> "RecorderSubscription":
        """Notifications with ids above `gt`, those to come included."""
        return RecorderSubscription(self, gt, topics)


class RecorderSubscription(Subscription[ScripRecorder]):
    """Follows the log by asking again: a notification could get lost, a position cannot."""

    def __init__(self, recorder: ScripRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder, gt, topics)
        self._page: list[Notification] = []
        self._stopped = Event()

    def stop(self) -> None:
        """End the iteration, also from another thread."""
        super().stop()
        self._stopped.set()

    def __next__(self) -> Notification:
        """The next notification; waits for it. Raises StopIteration after `stop`."""
        while not self._stopped.is_set():
            if not self._page:
                self._page = list(
                    self._recorder.select_notifications(
                        self._last_notification_id, PAGE, topics=self._topics, inclusive_of_start=False
                    )
                )
            if self._page:
                notification = self._page.pop(0)
                self._last_notification_id = notification.id
                return notification
            self._stopped.wait(POLL_S)
        raise StopIteration


def _stream_of(originator_id: UUID | str) -> str:
    kind = _AS_UUID if isinstance(originator_id, UUID) else _AS_TEXT
    return f"{STREAM}{kind}{originator_id}"


def _originator_of(stream: str) -> UUID | str:
    name = stream.removeprefix(STREAM)
    return UUID(name.removeprefix(_AS_UUID)) if name.startswith(_AS_UUID) else name.removeprefix(_AS_TEXT)
