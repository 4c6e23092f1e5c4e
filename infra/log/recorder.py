"""The event log as recorders of the library eventsourcing: one view of a partition, one of an organisation.

Every event that they return is a `LedgerEvent`, which is one of the library's notifications too. Where the events are
stored is the matter of `infra/log/postgres.py` and `infra/log/memory.py`.

The library's methods are synchronous. A role on an event loop calls them on threads: the relay on one of its own
(`infra/relay/source.py`), the API on some for which callers take turns (`Services.read_log`). The writer, and the
reader beside it, work for many callers at once and so do not ask stream by stream: a batch looks at its tails, streams
and tags with one statement each (`infra/log/statements.py`), and inserts with one `PostgresLog.append`. `insert_events`
ends in that same insert, and the Mapper is the same for all.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from threading import Event
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    OperationalError,
    ProgrammingError,
    StoredEvent,
    Subscription,
)

from infra.log.chain import GENESIS, TICK, link_of
from infra.log.events import Drafted, LedgerEvent, stream_of
from infra.log.mapper import LedgerMapper
from infra.log.statements import MAX_EVENT_BYTES, Head
from infra.partitions import partition_of

ACTOR = "recorder"  # of events that are written through the library
WINDOW = 20_000  # positions that one read looks at for one organisation: no index says which events are whose
PAGE = 500  # events that a subscription reads at once
POLL_S = 0.02
LAST = 2**63 - 1
EMPTY = Head(0, GENESIS, None)  # the end of a partition without events


class Wanted(NamedTuple):
    """Which events of a partition: of an organisation, of one of its streams, of some types, or caused by an actor."""

    org: str | None = None
    stream: str | None = None
    topics: Sequence[str] = ()
    actor: str | None = None


class EventLog(ABC):
    """The log. Thread-safe. All methods raise the library's OperationalError where it cannot be reached.

    `foreign`: events of types that the mapper does not know may be inserted; the projector stops at such an event for
    good, so this is for a log of one's own.
    """

    snapshots: AggregateRecorder

    def __init__(self, mapper: LedgerMapper, partitions: int, log_id: str, *, foreign: bool = False) -> None:
        self.mapper = mapper
        self.partitions = partitions
        self.id = log_id
        self.foreign = foreign

    def partition(self, number: int) -> "PartitionLog":
        """The events of a partition, 0 to `partitions` - 1."""
        return PartitionLog(self, number)

    def organisation(self, org: str) -> "OrganisationLog":
        """The events of an organisation."""
        return OrganisationLog(self, org)

    def insert(self, partition: int, drafted: Sequence[Drafted]) -> list[int]:
        """Append events of one partition, all or none; returns their positions.

        Raises IntegrityError where a version is taken, ProgrammingError for a type that the mapper does not know,
        OperationalError otherwise. Nothing is tried again here: after a lost connection only the caller can tell
        whether it would write twice.
        """
        if not drafted:
            return []
        if unknown := {event.type for event in drafted if not (self.foreign or self.mapper.knows(event.type))}:
            raise ProgrammingError(f"the log has no events of type {', '.join(sorted(unknown))}")
        if any(len(event.data) > MAX_EVENT_BYTES for event in drafted):
            raise OperationalError(f"an event has more than {MAX_EVENT_BYTES} bytes, so it could not be published")
        return [event.position for event in self._store(partition, drafted)]

    @abstractmethod
    def _store(self, partition: int, drafted: Sequence[Drafted]) -> list[LedgerEvent]:
        """Store events that were looked at, and return them. Raises IntegrityError, OperationalError."""

    @abstractmethod
    def head(self, partition: int) -> int:
        """The last position of a partition, 0 where there is none."""

    @abstractmethod
    def heads(self) -> dict[int, int]:
        """The same of every partition."""

    @abstractmethod
    def at(self, partition: int, positions: Sequence[int]) -> dict[int, LedgerEvent]:
        """The events of a partition at those of the positions that the log has."""

    @abstractmethod
    def tagged(self, org: str, tags: Sequence[str], limit: int) -> list[LedgerEvent]:
        """The first events of an organisation that have one of the tags, by position."""

    @abstractmethod
    def by_stream(self, cut: Mapping[int, int], org: str | None = None) -> Iterator[LedgerEvent]:
        """The events up to a position of each partition, by organisation, stream and version.

        `org`: only that organisation's. They are not all in memory at once.
        """

    @abstractmethod
    def in_stream(
        self, org: str, stream: str, *, gt: int | None, lte: int | None, desc: bool, limit: int | None,
        until: datetime | None,
    ) -> list[LedgerEvent]:  # fmt: skip
        """A stream's events by version, see `OrganisationLog.select_events`."""

    @abstractmethod
    def between(
        self, partition: int, after: int, until: int, limit: int, wanted: Wanted, *, desc: bool, max_bytes: int | None
    ) -> list[LedgerEvent]:
        """Events by position, after the one and up to the other, see `PartitionLog.select_notifications`."""


class _View(ApplicationRecorder):
    """Some of the log's events, in the order of their positions."""

    _org: str | None = None  # whose events they are, where they are one organisation's

    def __init__(self, log: EventLog, number: int) -> None:
        self._log = log
        self._number = number

    @property
    def name(self) -> str:
        """The name of the sequence of notifications, for the library's tracking records."""
        return f"scrip.{self._number}"

    @property
    def head(self) -> int:
        """The last position of the partition, 0 where there is none."""
        return self._log.head(self._number)

    @abstractmethod
    def _place(self, originator_id: UUID | str) -> tuple[str, str]:
        """Organisation and stream. Raises ProgrammingError for an originator that has no place in this view."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> Sequence[int]:
        """Append the events, all or none; returns their positions. Raises as `EventLog.insert` does."""
        return self._log.insert(self._number, [self._drafted(event) for event in stored_events])

    def _drafted(self, event: StoredEvent) -> Drafted:
        org, stream = self._place(event.originator_id)
        if isinstance(event, Drafted):
            return event
        return Drafted(org, stream, event.originator_version, event.topic, None, ACTOR, event.state)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
        until: datetime | None = None,
    ) -> Sequence[LedgerEvent]:
        """A stream's events in the order of their versions, or the reverse. `until`: those up to that time."""
        org, stream = self._place(originator_id)
        return self._log.in_stream(org, stream, gt=gt, lte=lte, desc=desc, limit=limit, until=until)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
        desc: bool = False,
        stream: str | None = None,
        actor: str | None = None,
        max_bytes: int | None = None,
    ) -> Sequence[LedgerEvent]:
        """Events from `start` to `stop`, both included, `limit` at most.

        `desc`: backwards, from `start` or the end down to `stop`. `stream`: one of the organisation's. `max_bytes`: of
        stored bytes, the event that passes it included.
        """
        after, until = _bounds(start, stop, inclusive_of_start=inclusive_of_start, desc=desc)
        wanted = Wanted(self._org, stream, topics, actor)
        return self._between(after, until, limit, wanted, desc=desc, max_bytes=max_bytes)

    def _between(
        self, after: int, until: int, limit: int, wanted: Wanted, *, desc: bool, max_bytes: int | None
    ) -> Sequence[LedgerEvent]:
        return self._log.between(self._number, after, until, limit, wanted, desc=desc, max_bytes=max_bytes)

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> "LogSubscription":
        """Notifications with ids above `gt`, those to come included."""
        return LogSubscription(self, gt, topics)


class PartitionLog(_View):
    """A partition: ids of notifications are 1, 2, 3 and so on. An originator's id is `{org}/{stream}`."""

    def _place(self, originator_id: UUID | str) -> tuple[str, str]:
        org, slash, stream = str(originator_id).partition("/")
        if isinstance(originator_id, UUID) or not slash or partition_of(org, self._log.partitions) != self._number:
            raise ProgrammingError(f"{originator_id} names no stream of an organisation of partition {self._number}")
        return org, stream

    def max_notification_id(self) -> int | None:
        """The last position, None where there is none."""
        return self.head or None


class OrganisationLog(_View):
    """An organisation: where others share its partition, the ids of notifications have gaps.

    An originator's id is `{org}/{stream}`, or a UUID or a text without a slash: then its stream is the library's own.
    `window`: positions that one read looks at.
    """

    _org: str

    def __init__(self, log: EventLog, org: str, window: int = WINDOW) -> None:
        super().__init__(log, partition_of(org, log.partitions))
        self._org = org
        self._window = window

    def _place(self, originator_id: UUID | str) -> tuple[str, str]:
        stream = stream_of(originator_id, self._org)
        if stream is None:
            raise ProgrammingError(f"{originator_id} belongs to another organisation than {self._org}")
        return self._org, stream

    def _between(
        self, after: int, until: int, limit: int, wanted: Wanted, *, desc: bool, max_bytes: int | None
    ) -> Sequence[LedgerEvent]:
        """Without a stream, which an index finds, the partition is searched in windows until enough is found.

        So give a `stop` where the work has to be bounded.
        """
        window = until - after if wanted.stream else self._window
        if until - after > window:
            until = min(until, self.head)
        found: list[LedgerEvent] = []
        left = max_bytes
        while after < until and len(found) < limit and (left is None or left > 0):
            low, high = (max(after, until - window), until) if desc else (after, min(until, after + window))
            missing = limit - len(found)
            page = super()._between(low, high, missing, wanted, desc=desc, max_bytes=left)
            found += page
            if left is not None:
                left -= sum(len(event.data) for event in page)
            after, until = (after, low) if desc else (high, until)
        return found

    def max_notification_id(self) -> int | None:
        """The position of the organisation's last event, None where there is none."""
        last = self.select_notifications(None, 1, desc=True)
        return last[0].position if last else None


class LogSubscription(Subscription[_View]):
    """Follows the log by asking again: a notification could get lost, a position cannot.

    PostgreSQL's LISTEN and NOTIFY would take a lock of the whole server at each commit.
    """

    def __init__(self, recorder: _View, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        super().__init__(recorder, gt, topics)
        self._seen = gt or 0  # searched up to here: a rare topic is not looked for from its last event again and again
        self._page: deque[LedgerEvent] = deque()
        self._stopped = Event()

    def stop(self) -> None:
        """End the iteration, also from another thread."""
        super().stop()
        self._stopped.set()

    def __next__(self) -> LedgerEvent:
        """The next notification; waits for it. Raises StopIteration after `stop`."""
        while not self._stopped.is_set():
            if not self._page and not self._read():
                self._stopped.wait(POLL_S)
                continue
            notification = self._page.popleft()
            self._last_notification_id = notification.position
            return notification
        raise StopIteration

    def _read(self) -> bool:
        """Read what follows; whether there is any."""
        head = self._recorder.head
        if head > self._seen:
            found = self._recorder.select_notifications(self._seen, PAGE, head, self._topics, inclusive_of_start=False)
            self._seen = found[-1].position if len(found) == PAGE else head
            self._page.extend(found)
        return bool(self._page)


def placed(partition: int, end: Head, now: datetime, drafted: Sequence[Drafted]) -> list[LedgerEvent]:
    """The events that follow a partition's last one. `now`: by the log's clock, under the partition's lock."""
    position, previous, last = end
    time = max(now, last + TICK) if last else now
    events: list[LedgerEvent] = []
    for org, stream, version, type_, tag, actor, data in drafted:
        position += 1
        event = LedgerEvent(partition, position, org, stream, version, type_, tag, actor, time, data, b"")
        previous = link_of(previous, event)
        events.append(event._replace(hash=previous))
    return events


def _bounds(start: int | None, stop: int | None, *, inclusive_of_start: bool, desc: bool) -> tuple[int, int]:
    """The positions after which and up to which is read."""
    if desc:
        until = LAST if start is None else start - (not inclusive_of_start)
        return (0 if stop is None else stop - 1), until
    return (0 if start is None else start - inclusive_of_start), (LAST if stop is None else stop)
