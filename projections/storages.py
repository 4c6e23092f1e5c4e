"""Read model: how much storage each user takes, in bytes."""

from dataclasses import dataclass
from datetime import datetime

from domain.storage.events import ContentDeleted, ContentStored, StorageEvent, StorageLimitSet
from domain.storage.state import BYTES
from projections.facts import Fact, follows
from projections.rows import Rows
from projections.table import Table
from projections.use_holds import UseHold, change


@dataclass(slots=True)
class StorageRow:
    """One user's row (storages.sql)."""

    org: str
    user_id: str
    used: int
    held: int
    storage_limit: int | None
    version: int
    position: int
    updated_at: datetime


TABLE = Table(
    "storages",
    StorageRow,
    {"org": "text", "user_id": "text", "used": "int8", "held": "int8", "storage_limit": "int8", "version": "int8"}
    | {"position": "int8", "updated_at": "timestamptz"},
    key=2,
)


def opened(fact: Fact) -> StorageRow:
    """The row of a user before the first event."""
    return StorageRow(fact.org, fact.id, 0, 0, None, 0, 0, fact.time)


def apply(row: StorageRow, holds: Rows[UseHold], fact: Fact, event: StorageEvent) -> None:
    """Fold one event. Raises CannotApply where it is not the next one, or about a hold that is unknown."""
    follows(fact, row.version)
    match event:
        case ContentStored():
            row.used += event.bytes
        case ContentDeleted():
            row.used = max(0, row.used - event.bytes)
        case StorageLimitSet():
            row.storage_limit = event.limit
        case _:
            row.used, row.held = change(holds, None, fact, event).amount(BYTES, row.used, row.held)
    row.version, row.position, row.updated_at = fact.version, fact.position, fact.time
