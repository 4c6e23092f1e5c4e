"""From rows in memory to the tables of one generation, inside the caller's transaction."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from psycopg import sql

from projections.read_model import Needed, Rows, State
from projections.table import Cursor


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
