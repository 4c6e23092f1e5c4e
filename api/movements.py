"""A movement as history and statements show it."""

from typing import Any

from api.database import Row
from infra.position import format_position

COLUMNS = (
    "position, n, type, amount, balance_after, grant_id, reservation_id, debit_id, refund_id, transfer_id,"
    " counterparty, item, actor, sealed, created_at, generation_id"
)


def movement(row: Row) -> dict[str, Any]:
    """A row of `read.transactions`, its text opened before."""
    n = row.pop("n")
    position = format_position(row.pop("position"))
    row.pop("metadata", None)
    return {"id": f"{position}-{n}", **row, "position": position}
