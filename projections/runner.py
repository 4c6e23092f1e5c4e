"""Applies events to the live generation: rows and checkpoints in one transaction, each event once and in order."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.types.numeric import Int8BinaryDumper

from projections import READ_MODELS, versions
from projections.facts import CannotApply, Decode, Fact, Log, Stored, fact_of
from projections.fold import fold, needs
from projections.read_model import Needed, ReadModel, Rows, State
from projections.table import Cursor

PAGE = 5_000  # events read from the log at once
MAX_ROWS_IN_MEMORY = 30_000  # for each process, before they are let go and read again: bounds its memory

HANGS = "2min"  # in one transaction, for the server to end it: a batch takes seconds

UNFIT = (CannotApply, LookupError, UnicodeError, OverflowError, psycopg.DataError, psycopg.IntegrityError)

Incoming = tuple[Stored, int | None]  # an event and its offset in Kafka, where it came from there
Batches = Mapping[int, Sequence[Incoming]]  # by partition, in order


class PositionGap(Exception):
    """Events are missing between the checkpoint and what came: the reader must go back to the checkpoint."""

    def __init__(self, partition: int, expected: int, got: int, offset: int | None = None) -> None:
        """`offset`: that of the event that came, where it came from Kafka."""
        super().__init__(f"partition {partition}: event {expected} must come next, event {got} came")
        self.partition = partition
        self.expected = expected
        self.got = got
        self.offset = offset


class Checkpoint(NamedTuple):
    """How far a partition is applied, and the offset in Kafka after which reading may resume (none: from the start)."""

    position: int
    kafka_offset: int | None


class Applied(NamedTuple):
    """The result of a batch: events applied, and the partitions that cannot go on from it."""

    events: int
    gaps: dict[int, PositionGap]
    stopped: dict[int, CannotApply]


class Runner:
    """One process's way to the live generation. Not safe for several threads at once.

    Several processes may run: the checkpoint rows are locked by each batch and say what comes next, so a
    process that comes second with the same events finds them repeated and changes nothing.
    """

    def __init__(self, uri: str, decode: Decode, models: Sequence[ReadModel[Any]] = READ_MODELS) -> None:
        self._uri = uri
        self._decode = decode
        self._models = models
        self._connection: psycopg.Connection[Any] | None = None
        self._kept: dict[int, tuple[int, int, State]] = {}  # by partition: generation, position, rows
        self._noted: set[int] = set()  # partitions with a row in read_stops
        self.stopped: dict[int, CannotApply] = {}

    def close(self) -> None:
        """Close the connection; the next batch opens a new one."""
        connection, self._connection = self._connection, None
        self._kept.clear()
        if connection is not None:
            connection.close()

    def checkpoints(self) -> dict[int, Checkpoint]:
        with self.connection().transaction():
            cursor = self.connection().cursor()
            versions.pin(cursor)
            schema = versions.live(cursor).schema
            rows = cursor.execute(
                sql.SQL("select partition, position, kafka_offset from {}").format(
                    sql.Identifier(schema, "checkpoints")
                )
            )
            return {partition: Checkpoint(position, offset) for partition, position, offset in rows}

    def apply(self, batches: Batches) -> Applied:
        """Apply what comes next of each partition; repeats are passed over, a stopped partition is left alone.

        Raises psycopg.Error where the database is the trouble: nothing of the call's last transaction is applied
        then, and the same batch may be tried again.
        """
        try:
            applied = self._apply({p: events for p, events in batches.items() if events and p not in self.stopped})
            return applied._replace(stopped={p: self.stopped[p] for p in batches if p in self.stopped})
        except BaseException:
            self.close()  # the rows in memory may be ahead of those stored
            raise

    def apply_log(self, log: Log, partition: int, until: int) -> int:
        """Apply a partition's next events from the log, up to position `until` at most; returns how many.

        For events that the topic lacks. Raises psycopg.Error as `apply` does.
        """
        position = self.checkpoints()[partition].position
        rows = log.partition(partition).select_notifications(position + 1, PAGE, until)
        return self.apply({partition: [(row, None) for row in rows]}).events

    def _apply(self, batches: Batches) -> Applied:
        facts: dict[int, list[tuple[Fact, int | None]]] = {}
        unreadable: dict[int, CannotApply] = {}
        for partition, events in batches.items():
            known = facts[partition] = []
            for stored, offset in events:
                try:
                    known.append((fact_of(stored, self._decode), offset))
                except CannotApply as error:
                    unreadable[partition] = error
                    break
        applied = self._isolating(facts)
        for partition, reason in unreadable.items():
            if partition not in applied.gaps and partition not in self.stopped:
                self.stop(reason)
        return applied

    def _isolating(self, facts: dict[int, list[tuple[Fact, int | None]]]) -> Applied:
        """Apply in one transaction; where an event does not fit, find it by halves, so that all others are applied."""
        try:
            return self._transaction(facts)
        except UNFIT as error:
            self._kept.clear()
            if len(facts) > 1:
                parts = [self._isolating({partition: list_}) for partition, list_ in facts.items()]
            else:
                ((partition, list_),) = facts.items()
                if len(list_) == 1:
                    fact = list_[0][0]
                    reason = error.reason if isinstance(error, CannotApply) else f"{type(error).__name__}: {error}"
                    self.stop(CannotApply(partition, fact.position, reason.strip()))
                    return Applied(0, {}, {})
                middle = len(list_) // 2
                parts = [self._isolating({partition: list_[:middle]})]
                if partition not in self.stopped and not parts[0].gaps:
                    parts.append(self._isolating({partition: list_[middle:]}))
            gaps = {partition: gap for part in parts for partition, gap in part.gaps.items()}
            return Applied(sum(part.events for part in parts), gaps, {})

    def _transaction(self, facts: dict[int, list[tuple[Fact, int | None]]]) -> Applied:
        connection = self.connection()
        with connection.transaction():
            cursor = connection.cursor()
            versions.pin(cursor)
            generation = versions.live(cursor)
            done = apply_to(cursor, generation.number, facts, self._models, self._kept)
            going = [partition for partition in done.moved if partition in self._noted]
            if going:
                cursor.execute("delete from public.read_stops where partition = any(%s)", (going,))
        self._noted.difference_update(going)
        for partition, position in done.moved.items():
            state = done.states[partition]
            state.written()
            self._kept[partition] = (generation.number, position, state)
        if sum(len(state) for _, _, state in self._kept.values()) > MAX_ROWS_IN_MEMORY:
            self._kept.clear()
        return Applied(done.events, done.gaps, {})

    def stop(self, error: CannotApply) -> None:
        """Stop a partition, and note the reason for operators and health checks."""
        self.connection().execute(
            "insert into public.read_stops (partition, position, reason) values (%s, %s, %s) on conflict (partition)"
            " do update set position = excluded.position, reason = excluded.reason, at = excluded.at",
            (error.partition, error.position, error.reason.replace("\0", "")),
        )
        self.stopped[error.partition] = error
        self._noted.add(error.partition)
        self._kept.pop(error.partition, None)

    def connection(self) -> psycopg.Connection[Any]:
        """The connection, which is opened if there is none. Callers use it for other steps of applying events."""
        if self._connection is None or self._connection.closed:
            self._kept.clear()
            self._connection = versions.connect(self._uri, "scrip projector")
            # A batch needs few rows of large tables, which the planner does not believe before they were analysed.
            for way in ("hashjoin", "mergejoin", "seqscan", "bitmapscan"):
                self._connection.execute(f"set enable_{way} = off")
            # Then one plan does for all batches, and planning takes longer than most of these statements do. psycopg
            # would send small numbers as smaller types, each combination of which is another statement to PostgreSQL.
            self._connection.execute("set plan_cache_mode = force_generic_plan")
            # A process that hangs within a pipeline is not idle to PostgreSQL, and keeps the checkpoints' locks.
            self._connection.execute(f"set transaction_timeout = '{HANGS}'")
            self._connection.adapters.register_dumper(int, Int8BinaryDumper)
            self._connection.prepare_threshold = 0
            self._noted = {row[0] for row in self._connection.execute("select partition from public.read_stops")}
        return self._connection


class Done(NamedTuple):
    """What `apply_to` did: new positions and the rows behind them, by partition, and where events were missing."""

    events: int
    moved: dict[int, int]
    states: dict[int, State]
    gaps: dict[int, PositionGap]


def apply_to(
    cursor: psycopg.Cursor[Any],
    generation: int,
    facts: Mapping[int, Sequence[tuple[Fact, int | None]]],
    models: Sequence[ReadModel[Any]],
    kept: Mapping[int, tuple[int, int, State]],
) -> Done:
    """Apply facts to a generation inside the caller's transaction.

    `kept` are rows in memory, by partition, with the generation and the position that they are of.
    The checkpoint rows are locked first and show what is new: a process that was suspended, and another that took
    over meanwhile, can never both apply an event.
    """
    schema = versions.schema_of(generation)
    done = Done(0, {}, {}, {})
    if not facts:
        return done
    cursor.execute(
        sql.SQL("select partition, position from {} where partition = any(%s) order by partition for update").format(
            sql.Identifier(schema, "checkpoints")
        ),
        (sorted(facts),),
    )
    positions = dict(cursor.fetchall())
    for partition in facts.keys() - positions.keys():
        if facts[partition]:
            raise CannotApply(partition, facts[partition][0][0].position, "the log has no such partition")
    moved: list[tuple[int, int, int | None, object]] = []
    count = 0
    for partition, position in positions.items():
        new, gap = _next(facts[partition], position)
        if gap is not None:
            done.gaps[partition] = gap
        if not new:
            continue
        found = kept.get(partition)
        state = found[2] if found and found[:2] == (generation, position) else State(models)
        load(cursor, schema, needs(state, (fact for fact, _ in new)))
        fold(state, (fact for fact, _ in new))
        last, offset = new[-1]
        moved.append((partition, last.position, offset, last.time))
        done.moved[partition], done.states[partition] = last.position, state
        count += len(new)
    if moved:
        store(cursor, schema, list(done.states.values()))
        move_checkpoints(cursor, schema, moved)
    return done._replace(events=count)


def _next(
    facts: Sequence[tuple[Fact, int | None]], position: int
) -> tuple[Sequence[tuple[Fact, int | None]], PositionGap | None]:
    """What of the facts follows `position` without a gap."""
    first = next((index for index, (fact, _) in enumerate(facts) if fact.position > position), len(facts))
    expected = position + 1
    for index in range(first, len(facts)):
        fact, offset = facts[index]
        if fact.position != expected:
            return facts[first:index], PositionGap(fact.partition, expected, fact.position, offset)
        expected += 1
    return facts[first:], None


def load(cursor: Cursor, schema: str, needed: Needed) -> None:
    """Read the stored rows that a batch needs into memory."""
    for model, keys in needed.keys.items():
        rows, table = needed.state.rows(model), model.table
        for row in table.load(cursor, schema, keys):
            rows[table.key_of(row)] = row


def store(cursor: Cursor, schema: str, changed: Sequence[State]) -> None:
    """Write everything that changed, of several partitions at once.

    Raises psycopg errors (a value that the table cannot hold, a key used twice).
    """
    # In a pipeline: twenty statements, and one wait for all of them.
    with cursor.connection.pipeline():
        for model in changed[0].all_logs:
            model.table.insert(cursor, schema, [row for state in changed for row in state.log(model)])
        for model in changed[0].all_rows:
            _store_rows(cursor, schema, [state.rows(model) for state in changed])
        for model in changed[0].all_sums:
            model.table.add(cursor, schema, [row for state in changed for row in state.sums(model).values()])


def _store_rows(cursor: Cursor, schema: str, same: Sequence[Rows[Any]]) -> None:
    table = same[0].table
    gone = sorted((key for rows in same for key in rows.gone), key=len)
    for _, keys in groupby(gone, key=len):
        table.delete(cursor, schema, list(keys))
    table.insert(cursor, schema, [rows.changed[key] for rows in same for key in rows.new])
    table.upsert(cursor, schema, [row for rows in same for key, row in rows.changed.items() if key not in rows.new])


def move_checkpoints(cursor: Cursor, schema: str, moved: list[tuple[int, int, int | None, object]]) -> None:
    """Set checkpoints: partition, position, Kafka offset (none: as it was), time of the last event."""
    cursor.execute(
        sql.SQL(
            "update {} c set position = m.position, time = m.time,"
            " kafka_offset = coalesce(m.kafka_offset, c.kafka_offset)"
            " from unnest(%b::int2[], %b::int8[], %b::int8[], %b::timestamptz[])"
            " as m (partition, position, kafka_offset, time) where c.partition = m.partition"
        ).format(sql.Identifier(schema, "checkpoints")),
        [list(column) for column in zip(*moved, strict=True)],
    )
