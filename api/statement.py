"""A statement as rows of text: CSV."""

from datetime import datetime
from typing import Any

from api.csv_text import csv_bytes

COLUMNS = ("created_at", "type", "amount", "balance_after", "item", "reason", "actor", "id")


def as_csv(statement: dict[str, Any], *, bom: bool = False) -> bytes:
    """Opening, movements and closing, one row each. Text that a spreadsheet would take for a formula is quoted."""
    opening = [time_text(statement["from"]), "opening", "", statement["opening"], "", "", "", ""]
    movements = [[_cell(row[name]) for name in COLUMNS] for row in statement["movements"]]
    closing = [time_text(statement["to"]), "closing", "", statement["closing"], "", "", "", ""]
    return csv_bytes(COLUMNS, [opening, *movements, closing], bom=bom)


def _cell(value: Any) -> str | int:
    return value if isinstance(value, int) else shown(value)


def shown(value: Any) -> str:
    """A value of a movement as people read it."""
    return time_text(value) if isinstance(value, datetime) else "" if value is None else str(value)


def time_text(value: datetime | None) -> str:
    """A moment in UTC to the second; nothing for none."""
    return value.isoformat(timespec="seconds").replace("+00:00", "Z") if value else ""
