"""Read model: every stored object, and when it was deleted."""

from dataclasses import dataclass
from datetime import datetime

from domain.storage.events import ContentDeleted, ContentStored
from projections.facts import Fact
from projections.read_model import Index, Needed, ReadModel, State, always


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


def fold(state: State, fact: Fact) -> None:
    """Raises CannotApply where the object is unknown."""
    rows, event = state.rows(CONTENTS), fact.event
    key = (fact.org, event.content_id)
    if isinstance(event, ContentStored):
        rows.begin(key, stored(fact, event))
        return
    row = rows.get(key)
    if row is None:
        state.missing(fact, "content")
    row.deleted_at, row.position = fact.time, fact.position
    rows.put(key, row)


CONTENTS = ReadModel(
    name="contents",
    row=ContentRow,
    key=("org", "id"),
    events={"storage": (ContentStored, ContentDeleted)},
    fold=fold,
    needs=needs,
    ended=always,
    indexes=(
        Index("org, user_id, bytes desc, id", "deleted_at is null"),
        Index("org, user_id, created_position, id", "deleted_at is null"),
        Index("org, generation_id", "generation_id is not null"),
    ),
    fillfactor=90,
)
