"""Read model: how much storage each user takes, in bytes."""

from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from domain.storage.events import ContentDeleted, ContentStored, StorageEvent, StorageLimitSet
from domain.storage.state import BYTES
from projections.facts import Fact, follows
from projections.read_model import ReadModel, State
from projections.use_holds import change_of


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


def opened(fact: Fact) -> StorageRow:
    """The row of a user before the first event."""
    return StorageRow(fact.org, fact.id, 0, 0, None, 0, 0, fact.time)


def fold(state: State, fact: Fact) -> None:
    """Raises CannotApply where `fact` is not the next event, or about a hold that is unknown."""
    rows, key, event = state.rows(STORAGES), (fact.org, fact.id), fact.event
    row = rows.get(key) or opened(fact)
    follows(fact, row.version)
    match event:
        case ContentStored():
            row.used += event.bytes
        case ContentDeleted():
            row.used = max(0, row.used - event.bytes)
        case StorageLimitSet():
            row.storage_limit = event.limit
        case _:
            row.used, row.held = change_of(state, fact, "").amount(BYTES, row.used, row.held)
    row.version, row.position, row.updated_at = fact.version, fact.position, fact.time
    rows.put(key, row)


STORAGES: ReadModel[StorageRow] = ReadModel(
    name="storages",
    row=StorageRow,
    key=("org", "user_id"),
    events={"storage": get_args(StorageEvent)},
    fold=fold,
    needs=lambda needed, fact: needed.row(STORAGES, (fact.org, fact.id)),
    fillfactor=70,
)
