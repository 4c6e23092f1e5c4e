"""The event log in memory, with the same positions, hashes, times and refusals as in PostgreSQL."""

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from threading import RLock
from typing import Any
from uuid import UUID

from eventsourcing.persistence import AggregateRecorder, IntegrityError, StoredEvent

from infra.log.events import Drafted, LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.log.recorder import EMPTY, LAST, EventLog, Wanted, placed
from infra.log.statements import Head

_VERSION, _POSITION = attrgetter("version"), attrgetter("position")


class MemoryLog(EventLog):
    """A log that ends with the process. `clock`: the time, which may stand still or go back."""

    def __init__(
        self,
        mapper: LedgerMapper,
        clock: Callable[[], datetime],
        *,
        partitions: int = 1,
        log_id: str = "memory",
        foreign: bool = False,
    ) -> None:
        super().__init__(mapper, partitions, log_id, foreign=foreign)
        self.snapshots = MemorySnapshots()
        self.now = clock
        self._lock = RLock()
        self._events: list[list[LedgerEvent]] = [[] for _ in range(partitions)]  # by position, which begins at 1
        self._streams: defaultdict[tuple[str, str], list[LedgerEvent]] = defaultdict(list)  # by version
        self._tags: defaultdict[tuple[str, str], list[LedgerEvent]] = defaultdict(list)  # by position

    def _store(self, partition: int, drafted: Sequence[Drafted]) -> list[LedgerEvent]:
        with self._lock:
            self._must_be_free(drafted)
            log = self._events[partition]
            end = Head(log[-1].position, log[-1].hash, log[-1].time) if log else EMPTY
            events = placed(partition, end, self.now(), drafted)
            for event in events:
                log.append(event)
                insort(self._streams[event.org, event.stream], event, key=_VERSION)
                if event.tag is not None:
                    self._tags[event.org, event.tag].append(event)
            return events

    def _must_be_free(self, drafted: Sequence[Drafted]) -> None:
        taken = {
            (org, stream, event.version)
            for org, stream in {(event.org, event.stream) for event in drafted}
            for event in self._streams.get((org, stream), ())
        }
        for event in drafted:
            key = (event.org, event.stream, event.version)
            if key in taken:
                raise IntegrityError(f"{event.org} {event.stream} has a version {event.version} already")
            taken.add(key)

    def head(self, partition: int) -> int:
        """See `EventLog`."""
        return len(self._events[partition])

    def heads(self) -> dict[int, int]:
        """See `EventLog`."""
        return {partition: len(events) for partition, events in enumerate(self._events)}

    def at(self, partition: int, positions: Sequence[int]) -> dict[int, LedgerEvent]:
        """See `EventLog`."""
        log = self._events[partition]
        return {position: log[position - 1] for position in positions if 0 < position <= len(log)}

    def tagged(self, org: str, tags: Sequence[str], limit: int) -> list[LedgerEvent]:
        """See `EventLog`."""
        with self._lock:
            found = [event for tag in set(tags) for event in self._tags.get((org, tag), ())]
        return sorted(found, key=_POSITION)[:limit]

    def by_stream(self, cut: Mapping[int, int], org: str | None = None) -> Iterator[LedgerEvent]:
        """See `EventLog`."""
        with self._lock:
            streams = sorted((key, tuple(events)) for key, events in self._streams.items() if org in (None, key[0]))
        for _, events in streams:
            yield from (event for event in events if event.position <= cut.get(event.partition, 0))

    def in_stream(
        self, org: str, stream: str, *, gt: int | None, lte: int | None, desc: bool, limit: int | None,
        until: datetime | None,
    ) -> list[LedgerEvent]:  # fmt: skip
        """See `EventLog`."""
        with self._lock:
            events = tuple(self._streams.get((org, stream), ()))
        found = [
            event
            for event in (reversed(events) if desc else events)
            if (gt is None or event.version > gt)
            and (lte is None or event.version <= lte)
            and (until is None or event.time <= until)
        ]
        return found[:limit]

    def between(
        self, partition: int, after: int, until: int, limit: int, wanted: Wanted, *, desc: bool, max_bytes: int | None
    ) -> list[LedgerEvent]:
        """See `EventLog`."""
        log = self._events[partition]
        positions = range(max(after, 0), min(until, len(log)))
        found: list[LedgerEvent] = []
        size = 0
        for index in reversed(positions) if desc else positions:
            if len(found) >= limit or (max_bytes is not None and size >= max_bytes):
                break
            if _matches(log[index], wanted):
                found.append(log[index])
                size += len(log[index].data)
        return found


class MemorySnapshots(AggregateRecorder):
    """See `PostgresSnapshots`."""

    def __init__(self) -> None:
        self._kept: dict[UUID | str, StoredEvent] = {}

    def insert_events(self, stored_events: Sequence[StoredEvent], **_kwargs: Any) -> None:
        """See `PostgresSnapshots`."""
        for new in stored_events:
            old = self._kept.get(new.originator_id)
            if old is None or new.originator_version > old.originator_version or new.topic != old.topic:
                self._kept[new.originator_id] = new

    def select_events(
        self, originator_id: UUID | str, *, gt: int | None = None, lte: int | None = None, limit: int | None = None,
        **_order: Any,
    ) -> list[StoredEvent]:  # fmt: skip
        """See `PostgresSnapshots`."""
        kept = self._kept.get(originator_id)
        low, high = -1 if gt is None else gt, LAST if lte is None else lte
        return [kept][:limit] if kept and low < kept.originator_version <= high else []


def _matches(event: LedgerEvent, wanted: Wanted) -> bool:
    return (
        wanted.org in (None, event.org)
        and wanted.stream in (None, event.stream)
        and (not wanted.topics or event.type in wanted.topics)
        and wanted.actor in (None, event.actor)
    )
