"""Build a new generation of the read models from the log beside the live one, and swap them."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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


class _Build:
    def __init__(
        self,
        connection: Connection,
        log: Log,
        decode: Decode,
        progress: Progress | None,
        started: float,
        models: Sequence[ReadModel[Any]],
    ) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._log = log
        self._decode = decode
        self._progress = progress
        self._started = started
        self._models = models
        self._live = versions.live(self._cursor)
        self.number = self._live.number + 1
        self._schema = schema_of(self.number)
        self._positions: dict[int, int] = {}
        self._later: list[tuple[ReadModel[Any], Fact]] = []
        self.done = 0
        self._total = 0

    def fold_log(self) -> None:
        """Fold all there is now by the fast way: no keys while rows come in, no row read back."""
        versions.create_tables(self._cursor, self.number, self._models)
        ends = self._log.heads()
        self._total = sum(ends.values())
        checkpoints: list[tuple[int, int, int | None, object]] = []
        for partition, last in ends.items():
            final = self._fold_partition(partition, last)
            self._positions[partition] = last
            checkpoints.append((partition, last, None, final))
        table = sql.Identifier(self._schema, "checkpoints")
        insert = sql.SQL("insert into {} (partition, position) select unnest(%s::int2[]), 0").format(table)
        self._cursor.execute(insert, ([*ends],))
        versions.create_keys(self._cursor, self.number, self._models)
        self._fold_later()
        move_checkpoints(self._cursor, self._schema, checkpoints)
        for model in versions.tables(self._models):
            self._cursor.execute(sql.SQL("analyze {}").format(sql.Identifier(self._schema, model.name)))

    def _fold_partition(self, partition: int, last: int) -> object:
        state = State(self._models, rebuilding=True)
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
        self._later += state.later
        return final

    def _fold_later(self) -> None:
        """Fold what is about rows that had been written, now that they can be found by their keys."""
        for start in range(0, len(self._later), BATCH):
            state, later = State(self._models), self._later[start : start + BATCH]
            load(self._cursor, self._schema, needs(state, (fact for _, fact in later)))
            fold_later(state, later)
            store(self._cursor, self._schema, [state])

    def _facts(self, partition: int, last: int) -> Iterator[Fact]:
        expected = 1
        for row in _events(self._log, partition, last):
            if row.position != expected:
                raise CannotApply(partition, row.position, f"event {expected} is missing from the log")
            expected += 1
            yield fact_of(row, self._decode)

    def _copy(self, model: ReadModel[Any], rows: Collection[Any]) -> None:
        if rows:
            model.table.copy(self._cursor, self._schema, rows, fresh=True)

    def swap(self) -> None:
        """Apply what has come since, and make the generation live between two batches of the projectors."""
        pause = 0.01
        while True:
            for _ in range(MAX_PASSES):
                if self._catch_up() <= NEARLY:
                    break
            try:
                with self._connection.transaction():
                    self._take_over()
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                time.sleep(pause)  # a reader has pinned the live generation or is in the middle of a query
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                return

    def _take_over(self) -> None:
        positions, done = dict(self._positions), self.done
        try:
            self._cursor.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
            self._cursor.execute(f"set local idle_in_transaction_session_timeout = '{SWAP_HANGS}'")
            self._cursor.execute(SWAP)
            self._catch_up()  # no projector applies now: afterwards no partition is behind the live generation
            self._cursor.execute(
                sql.SQL(
                    "update {} new set kafka_offset = old.kafka_offset from {} old where old.partition = new.partition"
                ).format(sql.Identifier(self._schema, "checkpoints"), sql.Identifier(self._live.schema, "checkpoints"))
            )
            shape = versions.shape(self._models)
            versions.show(self._cursor, self.number, self._models, keep=self._live.shape == shape)
            self._cursor.execute(
                "update public.read_generation set live = %s, shape = %s, since = clock_timestamp()",
                (self.number, shape),
            )
        except BaseException:
            self._positions, self.done = positions, done  # the savepoint takes back what was applied
            raise

    def _catch_up(self) -> int:
        """Apply what the log has beyond the new generation's checkpoints; how many events that was."""
        count = 0
        for partition, last in self._log.heads().items():
            while self._positions[partition] < last:
                rows = self._log.partition(partition).select_notifications(self._positions[partition] + 1, BATCH)
                facts = [(fact_of(row, self._decode), None) for row in rows]
                applied = apply_to(self._cursor, self.number, {partition: facts}, self._models, {})
                self._positions[partition] += applied.events
                count += applied.events
                self._total += applied.events
                self._count(applied.events)
                if applied.gaps:
                    gap = applied.gaps[partition]
                    raise CannotApply(partition, gap.got, f"event {gap.expected} is missing from the log")
        return count

    def count_rows(self) -> dict[str, int]:
        rows = {}
        for model in versions.tables(self._models):
            table = sql.Identifier(self._schema, model.name)
            found = self._cursor.execute(sql.SQL("select count(*) from {}").format(table))
            rows[model.name] = int((found.fetchone() or (0,))[0])
        return rows

    def _count(self, events: int) -> None:
        self.done += events
        if self._progress is not None and events:
            self._progress(self.done, self._total, self.done / max(time.monotonic() - self._started, 1e-6))


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
    """Drop the former generation, unless a reader is still in it for long: then the next rebuild drops it."""
    connection.execute("set lock_timeout = '5s'")
    try:
        versions.drop_others(connection)
    except psycopg.errors.LockNotAvailable:
        pass
    finally:
        connection.execute("reset lock_timeout")
