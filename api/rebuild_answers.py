"""A rebuild of the read models as it is told."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from api.database import Row

QUIET_S = 10.0  # who runs it tells more often than this, unless it is gone


class Rebuild(BaseModel):
    """`state`: `requested` until a projector takes it up, `running`, `done`, `failed`. `done` of `total` events.

    `waiting`: nobody is at it; a projector takes it up as soon as one runs. Who asked for it, the counts and
    the error are for the platform's admins; others have `percent`.
    """

    id: int
    state: str
    by: str | None = None
    waiting: bool
    requested_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    percent: int
    done: int | None = None
    total: int | None = None
    events_per_second: int | None = None
    generation: int | None = None
    error: str | None = None


def shown(row: Row) -> dict[str, Any]:
    """A rebuild as it is told to the platform's admins."""
    told = {name: row[name] for name in Rebuild.model_fields if name in row}
    ended = row["ended_at"] or row["seen_at"]
    seconds = (ended - row["started_at"]).total_seconds() if ended and row["started_at"] else 0
    quiet = row["state"] == "running" and (row["now"] - row["seen_at"]).total_seconds() > QUIET_S
    return told | {
        "waiting": row["state"] == "requested" or quiet,
        "percent": row["done"] * 100 // row["total"] if row["total"] else 0,
        "events_per_second": round(row["done"] / seconds) if seconds else None,
    }


def shown_to_others(row: Row) -> dict[str, Any]:
    """A rebuild without what tells how much all organisations do."""
    return shown(row) | dict.fromkeys(("by", "done", "total", "events_per_second", "error"))
