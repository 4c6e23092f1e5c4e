"""Read model: every stored object, and when it was deleted."""

from dataclasses import dataclass
from datetime import datetime

from domain.storage.events import ContentStored
from projections.facts import Fact
from projections.table import Table


@dataclass(slots=True)
class ContentRow:
    """One object's row (contents.sql)."""

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


TABLE = Table(
    "contents",
    ContentRow,
    {"org": "text", "id": "text", "user_id": "text", "bytes": "int8", "generation_id": "text", "sealed": "text"}
    | {"created_at": "timestamptz", "created_position": "int8", "deleted_at": "timestamptz", "position": "int8"},
    key=2,
)


def stored(fact: Fact, event: ContentStored) -> ContentRow:
    """The row of a new object."""
    return ContentRow(
        fact.org, event.content_id, fact.id, event.bytes, event.generation_id, event.sealed, fact.time, fact.position,
        None, fact.position,
    )  # fmt: skip


def deleted(row: ContentRow, fact: Fact) -> None:
    """Fold the object's deletion."""
    row.deleted_at, row.position = fact.time, fact.position
