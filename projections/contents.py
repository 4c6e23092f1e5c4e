"""Read models `contents`: every stored object; `storages`: how many bytes each user takes."""

from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from domain.storage.events import ContentDeleted, ContentStored, StorageEvent, StorageLimitSet
from domain.storage.state import BYTES
from projections.facts import Fact
from projections.read_model import Index, Needed, ReadModel, State, always
from projections.use_holds import amount_after


@dataclass(slots=True)
class ContentRow:
    """One row for each stored object; `deleted_at` is null while its bytes count. `sealed` is its encrypted URL."""

    org: str
    id: str
    user_id: str
    bytes: int
    generation_id: str | None
    sealed: str | None
    created_at: datetime
    created_position: int
    deleted_at: datetime | None
    position: int


def stored(fact: Fact, event: ContentStored) -> ContentRow:
    """The row of a new object."""
    return ContentRow(
        fact.org, event.content_id, fact.id, event.bytes, event.generation_id, event.sealed, fact.time, fact.position,
        None, fact.position,
    )  # fmt: skip


def needs(needed: Needed, fact: Fact) -> None:
    """The row of an object that is deleted."""
    if isinstance(fact.event, ContentDeleted):
        needed.row(CONTENTS, (fact.org, fact.event.content_id))


def fold_content(state: State, fact: Fact) -> None:
    """Raises CannotApply where the object is unknown."""
    rows, event = state.rows(CONTENTS), fact.event
    key = (fact.org, event.content_id)
    if isinstance(event, ContentStored):
        rows.begin(key, stored(fact, event))
        return
    row = state.known(CONTENTS, key, fact, "content")
    row.deleted_at, row.position = fact.time, fact.position
    rows.put(key, row)


CONTENTS = ReadModel(
    name="contents",
    row=ContentRow,
    key=("org", "id"),
    events={"storage": (ContentStored, ContentDeleted)},
    fold=fold_content,
    needs=needs,
    ended=always,
    indexes=(
        Index("org, user_id, bytes desc, id", "deleted_at is null"),
        Index("org, user_id, created_position, id", "deleted_at is null"),
        Index("org, generation_id", "generation_id is not null"),
    ),
    fillfactor=90,
)


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


def fold_storage(state: State, fact: Fact) -> None:
    """Raises CannotApply where `fact` is not the next event, or about a hold that is unknown."""
    row, event = state.next_row(STORAGES, (fact.org, fact.id), fact, opened), fact.event
    match event:
        case ContentStored():
            row.used += event.bytes
        case ContentDeleted():
            row.used = max(0, row.used - event.bytes)
        case StorageLimitSet():
            row.storage_limit = event.limit
        case _:
            row.used, row.held = amount_after(state, fact, "", BYTES, row.used, row.held)


STORAGES: ReadModel[StorageRow] = ReadModel(
    name="storages",
    row=StorageRow,
    key=("org", "user_id"),
    events={"storage": get_args(StorageEvent)},
    fold=fold_storage,
    needs=lambda needed, fact: needed.row(STORAGES, (fact.org, fact.id)),
    fillfactor=70,
)
