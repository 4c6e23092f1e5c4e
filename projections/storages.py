"""Read model: how much storage each user takes, in bytes."""

from dataclasses import dataclass
from datetime import datetime

from domain.storage.events import ContentDeleted, ContentStored, StorageEvent, StorageLimitSet
from domain.storage.state import BYTES
from projections.facts import Fact, follows
from projections.read_model import ReadModel
from projections.rows import Rows
from projections.use_holds import UseHold, change


@dataclass(slots=True)
class StorageRow:
    """One row for each user whose storage ever had an event; bytes. `storage_limit` is the user's own, null for the
    plan's.
    """

    org: str
    user_id: str
    used: int
    held: int
    storage_limit: int | None
    version: int
    position: int
    updated_at: datetime


STORAGES = ReadModel(name="storages", row=StorageRow, key=("org", "user_id"), fillfactor=70)


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
