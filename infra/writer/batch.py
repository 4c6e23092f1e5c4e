"""One batch: lock, look, decide everything in memory, and commit it whole."""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

import msgspec

from domain.kernel.domain import Domain, LetTimePass
from domain.kernel.execution import Decided, execute
from domain.kernel.work import START, Key, make
from domain.prices.publish import NOTICE
from domain.refusal import RefusalKind
from infra.log import statements
from infra.log.events import LedgerEvent
from infra.log.postgres import PostgresLog
from infra.log.statements import CommandRow
from infra.partitions import PLATFORM, Placed, partition_of
from infra.wire import Pipeline
from infra.writer import failpoints
from infra.writer.catching_up import catch_up
from infra.writer.demand import Demand
from infra.writer.draft import Draft
from infra.writer.failpoints import failpoint
from infra.writer.foresight import Asked
from infra.writer.large import StillLoading
from infra.writer.loading import Loader
from infra.writer.submission import KeyReused, NotApplied, Outcome, Refused, Submission

Result = Outcome | KeyReused | NotApplied
Enough = Callable[[float], bool]
SEND_EVERY = 200  # events sent together while further ones are decided
STEP = 8  # submissions between two looks at whether it is enough
NEVER = sys.maxsize
STALE_S = 0.5  # a partition not looked at for longer is first read without its lock
# Prices are announced 5 s ahead, so a second-old view of them is never out of date; a batch that has waited so long
# for its locks that it might be looks again.
PLATFORM_FRESH_S = 1.0
PLATFORM_USABLE = NOTICE - timedelta(seconds=1)


@dataclass(slots=True)
class Unit:
    """Submissions that are answered together; with `atomic` all are applied or none (all of one organisation)."""

    submissions: Sequence[Submission]
    atomic: bool = False


class Held(NamedTuple):
    """What a command waits for: until all that is due on a stream is written, or until a large stream is loaded."""

    key: Key
    loading: bool = False


class _Seen(NamedTuple):
    """A platform stream's state, read at `at` by the database's clock and at `read` by the process's."""

    state: Any
    at: datetime
    read: float


class _Needs(NamedTuple):
    """The partitions that a batch touches, in order, and the streams and tags that its decisions read."""

    partitions: list[int]
    streams: list[Placed]
    tags: list[Placed]


class Batch:
    """Runs batches on one connection. Not safe for use by several threads."""

    def __init__(self, log: PostgresLog, pipeline: Pipeline, loader: Loader) -> None:
        self._log = log
        self._pipeline = pipeline
        self._loader = loader
        self._domain = loader.domain
        self._partitions = log.partitions
        self._seen: dict[str, _Seen] = {}
        self.committed: Counter[str] = Counter()  # events by type, until who shows them takes them away
        self.cut = False  # whether the last run was `enough` before its end
        self.held: dict[int, Held] = {}  # units of the last run that wait for a stream, by their place
        self._resting: Collection[Key] = ()
        self.longest_lock_wait_s = 0.0  # from the start of a transaction until it had its locks, by the database

    def run(
        self, units: Sequence[Unit], least: int = 0, enough: Enough | None = None, resting: Collection[Key] = ()
    ) -> list[list[Result]]:
        """Decide and commit; the results are in the order of the units and their submissions.

        After `least` submissions, `enough` is asked from time to time, with the seconds since the first decision. Where
        it says so, the rest is left out: the last of the results may lack some, and later units have none.
        A unit also lacks results where more is due on a stream than one decision works off: a slice is committed then,
        and the rest of the unit, all of an atomic one, must be run again. On streams that are `resting` no slice is
        written. The same where a large stream is not loaded yet. `held` tells what each of them waits for.
        Raises psycopg.Error. When it does, nothing is known about the commit unless the error says so.
        """
        self.cut, self.held, self._resting = False, {}, resting
        submissions = [submission for unit in units for submission in unit.submissions]
        prices = {stream for item in submissions for stream in self._domain.deciders[type(item.command)].platform}
        self._read_platform(prices)
        needs = self._needs(submissions)
        self._catch_up(needs)
        failpoint(failpoints.BEFORE_BEGIN, self._pipeline)
        with self._pipeline as pipeline:
            pipeline.execute("begin")
            draft = self._look(submissions, needs, prices)
            results = self._decide_all(units, draft, least, enough)
            rows = [result for unit in results for result in unit if isinstance(result, CommandRow)]
            replayed = self._replay(rows)
            draft.send(pipeline)
            draft.send_snapshots(pipeline)
            failpoint(failpoints.BEFORE_COMMIT, pipeline)
            pipeline.execute("commit")
            failpoint(failpoints.COMMIT_SENT, pipeline)
        failpoint(failpoints.COMMITTED, self._pipeline)
        draft.merge()
        if draft.large and self._loader.large is not None:
            self._loader.large.keep(draft.large)
        self.committed.update(draft.sent)
        if not rows:  # nearly always
            return results
        return [
            [
                _as_replayed(next(replayed), submission) if isinstance(result, CommandRow) else result
                for submission, result in zip(unit.submissions, row, strict=False)
            ]
            for unit, row in zip(units, results, strict=False)
        ]

    def _needs(self, submissions: Sequence[Submission]) -> "_Needs":
        touched: set[int] = set()
        wanted: list[Placed] = []
        tags: list[Placed] = []
        for item in submissions:
            org, command = item.org, item.command
            partition, decider = partition_of(org, self._partitions), self._domain.deciders[type(command)]
            touched.add(partition)
            for stream in decider.streams(command):
                wanted.append((partition, (org, stream)))  # noqa: PERF401 - of one or two, a list takes longer
            for tag in decider.tags(command):
                tags.append((partition, (org, tag)))  # noqa: PERF401
        return _Needs(sorted(touched), wanted, tags)

    def _catch_up(self, needs: "_Needs") -> None:
        """After a pause, read what others have written before the lock is taken, so that nobody waits for it."""
        stale = [partition for partition in needs.partitions if self._loader.cache(partition).age_s > STALE_S]
        if stale:
            wanted = [each for each in needs.streams if each[0] in stale]
            catch_up(self._pipeline, self._loader, stale, wanted, [each for each in needs.tags if each[0] in stale])

    def _read_platform(self, streams: set[str]) -> None:
        """Follow the platform's partition, without a lock, where one of its streams is needed and was not just read."""
        old = monotonic() - PLATFORM_FRESH_S
        if any(stream not in self._seen or self._seen[stream].read < old for stream in streams):
            home = partition_of(PLATFORM, self._partitions)
            time = catch_up(self._pipeline, self._loader, [home], [(home, (PLATFORM, stream)) for stream in streams])
            self._see(streams, time)

    def _see(self, streams: set[str], time: datetime) -> None:
        """Keep the states apart from the cache, which may drop them while they are still needed.

        One without events is not kept: what is published first holds at once, and so it is looked for in each batch.
        """
        cached = self._loader.cache(partition_of(PLATFORM, self._partitions)).streams
        for stream in streams:
            found = cached.get((PLATFORM, stream))
            if found is not None and found.version:
                self._seen[stream] = _Seen(found.state, time, monotonic())

    def _look_at_platform_again(self, streams: set[str], time: datetime) -> None:
        late = {stream for stream in streams if stream in self._seen and time - self._seen[stream].at > PLATFORM_USABLE}
        if late:
            home = partition_of(PLATFORM, self._partitions)
            self._loader.load(self._pipeline, {(PLATFORM, stream): home for stream in late}, {})
            self._see(late, time)

    def _platform(self, stream: str) -> Any:
        seen = self._seen.get(stream)
        return seen.state if seen else self._domain.kind_of(stream).initial

    def _look(self, submissions: Sequence[Submission], needs: "_Needs", prices: set[str]) -> Draft:
        """Take the locks, and only then, in later statements, look: at the clock, the tails, the keys, cold states."""
        loader = self._loader
        touched, wanted, tags = needs
        streams, cold_tags = loader.missing(wanted, tags)
        keys = list({(item.org, item.caller, item.key) for item in submissions})
        known = loader.known(touched)
        locked = statements.lock(self._pipeline, touched)
        look = self._pipeline.execute(statements.LOOK, loader.seen(known))
        rows = statements.find_commands(self._pipeline, keys)
        asked = loader.ask(self._pipeline, streams, cold_tags)
        looked = loader.follow(known, look.fetchall())
        statements.must_be_locked(touched, locked.fetchall())
        new = [partition for partition in touched if not loader.cache(partition).known]
        if new:
            loader.start_at(new, self._pipeline.execute(statements.HEADS, (new,)).fetchall())
        loader.take(self._pipeline, asked)
        found = {row[:3]: CommandRow(*row) for row in rows.fetchall()}
        if looked.lost:  # what was cached was dropped because the log had run too far ahead
            dropped, dropped_tags = loader.missing(wanted, tags)
            dropped = {key: partition for key, partition in dropped.items() if key not in streams}
            dropped_tags = {tag: partition for tag, partition in dropped_tags.items() if tag not in cold_tags}
            loader.load(self._pipeline, dropped, dropped_tags)
        time = looked.time
        self.longest_lock_wait_s = max(self.longest_lock_wait_s, looked.waited_s)
        self._look_at_platform_again(prices, time)
        asked_for = partial(_asked, self._domain, submissions)
        demand = Demand(self._pipeline, loader, self._partitions, asked_for, self._platform, time)
        return Draft(self._log, loader, touched, time, found, self._platform, demand)

    def _decide_all(self, units: Sequence[Unit], draft: Draft, least: int, enough: Enough | None) -> list[list[Any]]:
        """The results of the units until it is `enough`; what is decided is sent on the way."""
        results: list[list[Any]] = []
        began, decided, ask_at = monotonic(), 0, max(least, STEP) if enough else NEVER
        for index, unit in enumerate(units):
            row: list[Any] = []
            results.append(row)
            for part in (unit,) if unit.atomic or len(unit.submissions) <= STEP else _steps(unit):
                found, held = self._decide(part, draft)
                row += found
                if held is not None:
                    self.held[index] = held
                if draft.send(self._pipeline, at_least=SEND_EVERY):
                    self._pipeline.push()  # PostgreSQL inserts one part while the next is decided
                decided += len(part.submissions)
                if decided >= ask_at:
                    if enough is not None and enough(monotonic() - began):
                        self.cut = True
                        return results
                    ask_at = decided + STEP
                if held is not None:  # the rest of the unit waits too
                    break
        return results

    def _decide(self, unit: Unit, draft: Draft) -> tuple[list[Any], Held | None]:
        """The results of a unit, and what the rest of it waits for.

        A CommandRow stands for an answer that is yet to be read from the log.
        """
        if unit.atomic:
            draft.mark(partition_of(unit.submissions[0].org, self._partitions))
        results: list[Any] = []
        for submission in unit.submissions:
            result = self._decide_one(submission, draft)
            if isinstance(result, Held):
                if unit.atomic:
                    draft.back_to_mark(keep_refusals=False)
                    return [], result if result.loading else self._let_time_pass(submission, result, draft)
                return results, result
            results.append(result)
        if not unit.atomic:
            return results, None
        if not any(isinstance(result, KeyReused) or getattr(result, "refusal", None) for result in results):
            return results, None
        draft.back_to_mark()
        return [
            _without_group(submission, result, draft)
            for submission, result in zip(unit.submissions, results, strict=True)
        ], None

    def _decide_one(self, item: Submission, draft: Draft) -> Any:
        key = (item.org, item.caller, item.key)
        row = draft.rows.get(key)
        if row is not None:
            same = row.fingerprint is None or item.fingerprint is None or row.fingerprint == item.fingerprint
            return row if same else KeyReused()
        earlier = draft.answered.get(key)
        if earlier is not None:
            fingerprint, outcome = earlier
            return outcome._replace(replayed=True) if fingerprint == item.fingerprint else KeyReused()
        partition = partition_of(item.org, self._partitions)
        decided = self._execute(item, item.command, draft)
        if isinstance(decided, Held):
            return decided
        too_large = draft.record(partition, item, decided)
        if decided.unfinished is not None and not (isinstance(item.command, LetTimePass) and not item.command.whole):
            return Held((item.org, decided.unfinished))
        if too_large is not None:
            decided = Decided((), 0, too_large)
        own = decided.events[decided.due :]
        refused = Refused.of(decided.refusal) if decided.refusal else None
        told = (partition, draft.position(partition), draft.now(partition), own, refused, False, decided.result_state)
        outcome = make(Outcome, told)
        if refused is None or (item.keep_refusals and is_kept(item, refused, own)):
            draft.keep(item, outcome)
        return outcome

    def _execute(self, item: Submission, command: Any, draft: Draft) -> Decided | Held:
        work = draft.begin(partition_of(item.org, self._partitions), item.org)
        if self._resting:
            work.behind.update(self._resting)
        try:
            return execute(work, self._domain, command)
        except StillLoading as large:
            work.back_to(START)
            return Held(large.key, loading=True)

    def _let_time_pass(self, item: Submission, held: Held, draft: Draft) -> Held:
        """Write a slice of what is due on a stream, in the name of the one who waits for it."""
        decided = self._execute(item, LetTimePass(stream=held.key[1]), draft)
        if isinstance(decided, Held):
            return decided
        draft.record(partition_of(item.org, self._partitions), item, decided)
        return held

    def _replay(self, rows: Sequence[CommandRow]) -> Iterator[Outcome]:
        """The answers that earlier submissions got, built again from their events."""
        if not rows:
            return iter(())
        ranges = statements.columns([(row.partition, row.position, row.events) for row in rows], 3)
        return iter(_outcomes(rows, self._pipeline.execute(statements.RANGES, ranges).fetchall(), self._loader))


def _steps(unit: Unit) -> Iterator[Unit]:
    submissions = unit.submissions
    return (Unit(submissions[start : start + STEP]) for start in range(0, len(submissions), STEP))


def is_kept(item: Submission, refused: Refused, own: Sequence[Any]) -> bool:
    """Whether a refusal is an answer that somebody can ask for again, or has facts that must not be written twice.

    Any other would only fill the disk: being refused costs nothing. Where a commit without its row is in doubt, it is
    decided anew, and nobody has heard of the first.
    """
    return refused.kind not in (RefusalKind.INVALID, RefusalKind.BUSY) and (item.may_come_again or bool(own))


def _without_group(item: Submission, result: Any, draft: Draft) -> Any:
    """What is left of a result when its atomic group was taken back: earlier answers, and refusals."""
    if isinstance(result, KeyReused | CommandRow):
        return result
    kept = draft.answered.get((item.org, item.caller, item.key))
    if kept is not None:
        return kept[1]._replace(replayed=result.replayed)
    if result.refusal is None:
        return NotApplied()
    return result._replace(position=draft.position(result.partition), events=())


def _asked(domain: Domain, submissions: Sequence[Submission]) -> list[Asked]:
    return [Asked(item.org, domain.deciders[type(item.command)], item.command) for item in submissions]


def _outcomes(rows: Sequence[CommandRow], records: Sequence[Any], loader: Loader) -> list[Outcome]:
    events: dict[tuple[int, int], Any] = {}
    times: dict[tuple[int, int], datetime] = {}
    for record in records:
        stored = LedgerEvent(*record)
        events[stored.partition, stored.position] = (stored.stream, loader.codec.to_domain_event(stored).event)
        times[stored.partition, stored.position] = stored.time
    return [
        Outcome(
            row.partition,
            row.position,
            times.get((row.partition, row.position)),
            tuple(events[row.partition, at] for at in range(row.position - row.events + 1, row.position + 1)),
            msgspec.json.decode(row.refusal, type=Refused) if row.refusal else None,
            replayed=True,
        )
        for row in rows
    ]


def _as_replayed(outcome: Outcome, submission: Submission) -> Outcome:
    """A row found at a second attempt was written by the first, whose answer never arrived: no replay to the caller."""
    return outcome._replace(replayed=False) if submission.attempted else outcome
