"""From rows in memory to the tables of one generation, inside the caller's transaction."""

from psycopg import sql

from projections import balances, debits, grants, prices, reservations, transactions
from projections.fold import Needed, ReadModels
from projections.table import Cursor


def load(cursor: Cursor, schema: str, models: ReadModels, needed: Needed) -> None:
    """Read the stored rows that a batch needs."""
    for balance in balances.TABLE.load(cursor, schema, needed.balances):
        models.balances[balance.org, balance.address] = balance
    for grant in grants.TABLE.load(cursor, schema, needed.grants):
        models.grants[grant.org, grant.address, grant.id] = grant
    for hold in reservations.TABLE.load(cursor, schema, needed.reservations):
        models.reservations[hold.org, hold.id] = hold


def store(cursor: Cursor, schema: str, changed: list[ReadModels]) -> None:
    """Write everything that changed, of several partitions at once.

    Raises psycopg errors (a value that the table cannot hold, a key used twice) and LookupError (an unknown debit).
    """
    rows = [row for models in changed for row in models.transactions]
    if rows:
        transactions.TABLE.copy(cursor, schema, rows)
    charges = [row for models in changed for row in models.debits.values()]
    if charges:
        debits.TABLE.copy(cursor, schema, charges)
    for models in changed:
        debits.add_refunds(cursor, schema, models.refunds)
    begun = [models.reservations[key] for models in changed for key in models.new_reservations]
    if begun:
        reservations.TABLE.copy(cursor, schema, begun)
    went_on = [
        row
        for models in changed
        for key, row in models.changed_reservations.items()
        if key not in models.new_reservations
    ]
    reservations.TABLE.upsert(cursor, schema, went_on)
    grants.TABLE.upsert(cursor, schema, [row for models in changed for row in models.changed_grants.values()])
    balances.TABLE.upsert(cursor, schema, [row for models in changed for row in models.changed_balances.values()])
    prices.TABLE.upsert(cursor, schema, [row for models in changed for row in models.prices])


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
