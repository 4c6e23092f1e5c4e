"""What a batch is about to write, and the states that it would lead to."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from domain.kernel.execution import Decided
from domain.kernel.work import START, Key, Savepoint, Stream, Work, make
from domain.refusal import EventTooLarge
from infra.log import statements
from infra.log.chain import link, microseconds
from infra.log.events import Drafted, LedgerEvent
from infra.log.postgres import PostgresLog
from infra.log.snapshots import encode_state
from infra.log.statements import MAX_EVENT_BYTES, CommandRow
from infra.wire import Pipeline
from infra.writer import failpoints
from infra.writer.demand import Demand
from infra.writer.failpoints import failpoint
from infra.writer.large import LARGE
from infra.writer.loading import Loader
from infra.writer.submission import Outcome, Submission

SNAPSHOT_EVERY = 1000  # events, or more where the state itself has more entries; half as many where it is large
TICK = timedelta(microseconds=1)

CommandKey = tuple[str, str, str]


class _End(NamedTuple):
    """Where a partition's log ends, this draft included."""

    position: int
    hash: bytes


class _Mark(NamedTuple):
    """The draft as it was before an atomic group."""

    partition: int
    end: _End
    events: int
    commands: int
    work: Savepoint


class Draft:
    """Events, idempotency rows and states of one batch; nothing of it counts before the commit.

    `rows` are the idempotency rows that the batch's keys already have.
    """

    def __init__(
        self,
        log: PostgresLog,
        loader: Loader,
        partitions: Sequence[int],
        time: datetime,
        rows: Mapping[Any, CommandRow],
        platform: Callable[[str], Any],
        demand: Demand,
    ) -> None:
        self.rows = rows
        self.answered: dict[CommandKey, tuple[bytes | None, Outcome]] = {}
        self._log = log
        self._caches = {p: loader.cache(p) for p in partitions}
        self._kind_of = loader.domain.kind_of
        self._events: list[LedgerEvent] = []
        self.sent: Counter[str] = Counter()  # events by type
        self._commands: list[CommandRow] = []
        self._works = {p: loader.domain.work(cache, demand, platform) for p, cache in self._caches.items()}
        demand.drafted = self._works
        self._ends = {p: _End(cache.position, cache.hash) for p, cache in self._caches.items()}
        # One clock, the database's, and it never stands still or goes back within a partition.
        self._now = {p: max(time, (cache.time or time) + TICK) for p, cache in self._caches.items()}
        self._now_us = {p: microseconds(now) for p, now in self._now.items()}
        self._mark: _Mark | None = None
        self.large: list[tuple[Key, Stream]] = []  # states of which there should be a snapshot some time after

    def now(self, partition: int) -> datetime:
        """The time of every decision of this batch in a partition."""
        return self._now[partition]

    def position(self, partition: int) -> int:
        """The partition's last position, this draft included."""
        return self._ends[partition].position

    def begin(self, partition: int, org: str) -> Work:
        """The work of a decision of the organisation that starts now."""
        work = self._works[partition]
        work.begin(org, self._now[partition])
        return work

    def record(self, partition: int, item: Submission, decided: Decided) -> EventTooLarge | None:
        """Give events of one command, their versions, positions and hashes.

        Where one is too large to be published, nothing of the command is left, and the refusal is returned. What time
        alone brought about is recorded whatever its size: a stream that is held up by it could never be used again.
        """
        work, org, now = self._works[partition], item.org, self._now[partition]
        events, first = decided.events, len(self._events)
        now_us, encode, actor, key = self._now_us[partition], self._log.mapper.encode, item.actor, item.key
        position, hash_ = self._ends[partition]
        later = _counted(events) if len(events) > 1 else None  # nearly always one
        for stream, event in events:
            version = work.streams[org, stream].version
            if later is not None:
                later[stream] -= 1
                version -= later[stream]
            type_, data = encode(event, actor, key)
            if len(data) > MAX_EVENT_BYTES and len(self._events) - first >= decided.due:
                del self._events[first:]
                work.back_to(START)
                return EventTooLarge(size=len(data), limit=MAX_EVENT_BYTES)
            position += 1
            hash_ = link(hash_, partition, position, org, stream, version, type_, now_us, data)
            stored = (partition, position, org, stream, version, type_, event.tag, actor, now, data, hash_)
            self._events.append(make(LedgerEvent, stored))
        self._ends[partition] = _End(position, hash_)
        return None

    def keep(self, item: Submission, outcome: Outcome) -> None:
        """Keep an answer under the submission's key."""
        refusal = msgspec.json.encode(outcome.refusal) if outcome.refusal else None
        org, caller, key, fingerprint = item.org, item.caller, item.key, item.fingerprint
        kept = (org, caller, key, fingerprint, outcome.partition, outcome.position, len(outcome.events), refusal)
        self._commands.append(make(CommandRow, kept))
        self.answered[org, caller, key] = (fingerprint, outcome)

    def mark(self, partition: int) -> None:
        """Remember the draft as it is, before an atomic group of one organisation."""
        self._mark = _Mark(
            partition,
            self._ends[partition],
            len(self._events),
            len(self._commands),
            self._works[partition].savepoint(),
        )

    def back_to_mark(self, *, keep_refusals: bool = True) -> None:
        """Take back everything since the mark but the kept refusals: those are answers, not effects.

        A refusal that brought facts with it loses them, as the rest of the group does. `keep_refusals`: False where
        the group is decided again later.
        """
        mark = self._mark
        if mark is None:
            raise AssertionError("back_to_mark without a mark")
        self._ends[mark.partition] = mark.end
        del self._events[mark.events :]
        self._works[mark.partition].restore(mark.work)
        for row in self._commands[mark.commands :]:
            key = (row.org, row.caller, row.key)
            fingerprint, outcome = self.answered.pop(key)
            if keep_refusals and outcome.refusal is not None:
                self.answered[key] = (fingerprint, outcome._replace(position=mark.end.position, events=()))
        refused = [row for row in self._commands[mark.commands :] if keep_refusals and row.refusal is not None]
        self._commands[mark.commands :] = [row._replace(position=mark.end.position, events=0) for row in refused]

    def send(self, pipeline: Pipeline, *, at_least: int = 1) -> bool:
        """Send what is drafted and not yet sent, if it is `at_least` so many events or keys; returns whether any was.

        Positions, versions and keys are unique in PostgreSQL too.
        """
        any_sent = False
        if self._events and len(self._events) >= at_least:
            self._log.append(pipeline, self._events)
            self.sent.update([event.type for event in self._events])
            self._events = []
            any_sent = True
            failpoint(failpoints.EVENTS_SENT, pipeline)
        if self._commands and len(self._commands) >= at_least:
            statements.insert_commands(pipeline, self._commands)
            self._commands = []
            any_sent = True
            failpoint(failpoints.KEYS_SENT, pipeline)
        return any_sent

    def send_snapshots(self, pipeline: Pipeline) -> None:
        """Send snapshots of the streams that have grown by more events than their state has entries."""
        self._log.snapshots.put(pipeline, self._snapshots())

    def merge(self) -> None:
        """After the commit: the drafted states are the committed ones."""
        for partition, work in self._works.items():
            end, cache = self._ends[partition], self._caches[partition]
            cache.merge(work, end.position)
            if end.position != cache.position:
                cache.moved_to(end.position, end.hash, self._now[partition])
        # Works and what loads for them know each other; left so, every batch would stay until garbage is looked for.
        self._works.clear()

    def _snapshots(self) -> list[Drafted]:
        rows = []
        for work in self._works.values():
            for (org, stream), drafted in work.streams.items():
                since = drafted.version - drafted.snapshot
                if since < SNAPSHOT_EVERY:  # nearly always
                    continue
                kind = self._kind_of(stream)
                if since * 2 < (entries := kind.entries(drafted.state)):
                    continue
                if entries > LARGE:
                    self.large.append(((org, stream), drafted))
                elif since >= entries:
                    state = encode_state(drafted.state)
                    rows.append(Drafted(org, stream, drafted.version, str(kind.schema), None, "", state))
                else:
                    continue
                work.streams[org, stream] = drafted._replace(snapshot=drafted.version)
        return rows


def _counted(events: Sequence[tuple[str, Any]]) -> dict[str, int]:
    """How many events each stream has; a Counter takes three times as long."""
    counts: dict[str, int] = {}
    for stream, _ in events:
        counts[stream] = counts.get(stream, 0) + 1
    return counts
