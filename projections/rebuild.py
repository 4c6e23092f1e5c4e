"""Build a new generation of the read models from the log beside the live one, and swap them."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from projections import READ_MODELS, versions
from projections.facts import CannotApply, Decode, Fact, Log, Stored, fact_of
from projections.fold import fold, fold_later, needs
from projections.read_model import ReadModel, State
from projections.runner import PAGE, apply_to, load, move_checkpoints, store
from projections.usage import quarter
from projections.versions import LOCKS, REBUILD, SWAP, schema_of

BATCH = 10_000  # events folded before their rows are written
NEARLY = 1_000  # events that may be left to apply while nothing else is applied,
MAX_PASSES = 20  # unless commands arrive faster than they are folded: then it is whatever is left after so many rounds
LOCK_TIMEOUT = "500ms"  # the swap gives way rather than let readers queue behind it
LONGEST_PAUSE_S = 1.0
HANGS = "60s"  # without a statement: no batch takes so long to fold
SWAP_HANGS = "5s"  # the same while everybody else waits for the swap

Progress = Callable[[int, int, float], None]  # events done, events in all, events per second
Connection = psycopg.Connection[Any]


class RebuildReport(NamedTuple):
    """The result of a rebuild: the new live generation, events folded, seconds taken, rows by table."""

    generation: int
    events: int
    seconds: float
    rows: dict[str, int]

    @property
    def rate(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


def rebuild(
    uri: str,
    log: Log,
    decode: Decode,
    progress: Progress | None = None,
    models: Sequence[ReadModel[Any]] = READ_MODELS,
) -> RebuildReport:
    """Fold the whole log into a new generation and make it the live one. `uri`: the projector's or the owner's login.

    Works whether projectors run or not and while commands arrive. Everything happens in one transaction, so that
    a rebuild that is killed leaves nothing behind; a second one waits for the first. Raises CannotApply at an
    event that cannot be folded (the live generation stays), NoReadModels before the first `ensure`, psycopg.Error.
    """
    started = time.monotonic()
    with versions.connect(uri, "scrip rebuild") as connection:
        # The lock of the session would outlive a transaction that is ended because this process hangs.
        connection.execute(f"set idle_session_timeout = '{HANGS}'")
        connection.execute(f"set idle_in_transaction_session_timeout = '{HANGS}'")
        connection.execute("select pg_advisory_lock(%s, %s)", (LOCKS, REBUILD))
        versions.drop_others(connection)
        with connection.transaction():
            build = _Build(connection, log, decode, progress, started, models)
            build.fold_log()
            build.swap()
            rows = build.count_rows()
        _drop_old(connection)
    return RebuildReport(build.number, build.done, time.monotonic() - started, rows)


@dataclass
class _Build:
    connection: Connection
    log: Log
    decode: Decode
    progress: Progress | None
    started: float
    models: Sequence[ReadModel[Any]]
    done: int = 0
    total: int = 0
    positions: dict[int, int] = field(default_factory=dict)
    later: list[tuple[ReadModel[Any], Fact]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cursor = self.connection.cursor()
        self.live = versions.live(self.cursor)
        self.number = self.live.number + 1
        self.schema = schema_of(self.number)

    def fold_log(self) -> None:
        """Fold all events of this moment the fast way: without keys while rows are written, and no row is read back."""
        versions.create_tables(self.cursor, self.number, self.models)
        ends = self.log.heads()
        self.total = sum(ends.values())
        checkpoints: list[tuple[int, int, int | None, object]] = []
        for partition, last in ends.items():
            final = self._fold_partition(partition, last)
            self.positions[partition] = last
            checkpoints.append((partition, last, None, final))
        table = sql.Identifier(self.schema, "checkpoints")
        insert = sql.SQL("insert into {} (partition, position) select unnest(%s::int2[]), 0").format(table)
        self.cursor.execute(insert, ([*ends],))
        versions.create_keys(self.cursor, self.number, self.models)
        self._fold_later()
        move_checkpoints(self.cursor, self.schema, checkpoints)
        for model in versions.tables(self.models):
            self.cursor.execute(sql.SQL("analyze {}").format(sql.Identifier(self.schema, model.name)))

    def _fold_partition(self, partition: int, last: int) -> object:
        state = State(self.models, rebuilding=True)
        final: object = None
        for batch in _batches(self._facts(partition, last)):
            fold(state, batch)
            final = batch[-1].time
            for model, rows in state.all_rows.items():
                self._copy(model, rows.written(state))
            for model, log_ in state.all_logs.items():
                self._copy(model, log_)
                log_.clear()
            for model, sums in state.all_sums.items():
                self._copy(model, sums.before(quarter(batch[-1].time)))
            self._count(len(batch))
        # An organisation lives in one partition: these rows are final now.
        for model, rest in (state.all_rows | state.all_sums).items():
            self._copy(model, rest.values())
        self.later += state.later
        return final

    def _fold_later(self) -> None:
        """Fold the events about rows that were written already: now the rows can be found by their keys."""
        for start in range(0, len(self.later), BATCH):
            state, later = State(self.models), self.later[start : start + BATCH]
            load(self.cursor, self.schema, needs(state, (fact for _, fact in later)))
            fold_later(state, later)
            store(self.cursor, self.schema, [state])

    def _facts(self, partition: int, last: int) -> Iterator[Fact]:
        expected = 1
        for row in _events(self.log, partition, last):
            if row.position != expected:
                raise CannotApply(partition, row.position, f"event {expected} is missing from the log")
            expected += 1
            yield fact_of(row, self.decode)

    def _copy(self, model: ReadModel[Any], rows: Collection[Any]) -> None:
        if rows:
            model.table.copy(self.cursor, self.schema, rows, fresh=True)

    def swap(self) -> None:
        """Apply the events since then, and make the generation live between two batches of the projectors."""
        pause = 0.01
        while True:
            for _ in range(MAX_PASSES):
                if self._catch_up() <= NEARLY:
                    break
            try:
                with self.connection.transaction():
                    self._take_over()
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                time.sleep(pause)  # a reader has pinned the live generation or is in the middle of a query
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                return

    def _take_over(self) -> None:
        positions, done = dict(self.positions), self.done
        try:
            self.cursor.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
            self.cursor.execute(f"set local idle_in_transaction_session_timeout = '{SWAP_HANGS}'")
            self.cursor.execute(SWAP)
            self._catch_up()  # no projector applies now: afterwards no partition is behind the live generation
            self.cursor.execute(
                sql.SQL(
                    "update {} new set kafka_offset = old.kafka_offset from {} old where old.partition = new.partition"
                ).format(sql.Identifier(self.schema, "checkpoints"), sql.Identifier(self.live.schema, "checkpoints"))
            )
            shape = versions.shape(self.models)
            versions.show(self.cursor, self.number, self.models, keep=self.live.shape == shape)
            self.cursor.execute(
                "update public.read_generation set live = %s, shape = %s, since = clock_timestamp()",
                (self.number, shape),
            )
        except BaseException:
            self.positions, self.done = positions, done  # the savepoint takes back what was applied
            raise

    def _catch_up(self) -> int:
        """Apply the events after the new generation's checkpoints; returns how many there were."""
        count = 0
        for partition, last in self.log.heads().items():
            while self.positions[partition] < last:
                rows = self.log.partition(partition).select_notifications(self.positions[partition] + 1, BATCH)
                facts = [(fact_of(row, self.decode), None) for row in rows]
                applied = apply_to(self.cursor, self.number, {partition: facts}, self.models, {})
                self.positions[partition] += applied.events
                count += applied.events
                self.total += applied.events
                self._count(applied.events)
                if applied.gaps:
                    gap = applied.gaps[partition]
                    raise CannotApply(partition, gap.got, f"event {gap.expected} is missing from the log")
        return count

    def count_rows(self) -> dict[str, int]:
        rows = {}
        for model in versions.tables(self.models):
            table = sql.Identifier(self.schema, model.name)
            found = self.cursor.execute(sql.SQL("select count(*) from {}").format(table))
            rows[model.name] = int((found.fetchone() or (0,))[0])
        return rows

    def _count(self, events: int) -> None:
        self.done += events
        if self.progress is not None and events:
            self.progress(self.done, self.total, self.done / max(time.monotonic() - self.started, 1e-6))


def _events(log: Log, partition: int, last: int) -> Iterator[Stored]:
    """All events of a partition up to position `last`; the next page is read while one is being folded."""
    read = log.partition(partition).select_notifications
    with ThreadPoolExecutor(1, "log") as ahead:
        coming = ahead.submit(read, 1, PAGE, last)
        while page := coming.result():
            coming = ahead.submit(read, page[-1].position + 1, PAGE, last)
            yield from page


def _batches(facts: Iterator[Fact]) -> Iterator[list[Fact]]:
    """Facts in lists of at least `BATCH`, all of one command in one list: they have one time."""
    batch: list[Fact] = []
    for fact in facts:
        if len(batch) >= BATCH and fact.time != batch[-1].time:
            yield batch
            batch = []
        batch.append(fact)
    if batch:
        yield batch


def _drop_old(connection: Connection) -> None:
    """Drop the former generation. If a reader holds it for long, the next rebuild drops it."""
    connection.execute("set lock_timeout = '5s'")
    try:
        versions.drop_others(connection)
    except psycopg.errors.LockNotAvailable:
        pass
    finally:
        connection.execute("reset lock_timeout")
