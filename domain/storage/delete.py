"""Delete a stored content, which frees its bytes (S0)."""

from collections.abc import Iterable
from dataclasses import dataclass

from domain.storage.events import ContentDeleted, ContentStored, StorageEvent
from domain.storage.refusals import NoSuchContent


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteContent:
    """Delete one content of the user's."""

    user: str
    content_id: str


def delete(command: DeleteContent, history: Iterable[StorageEvent]) -> tuple[ContentDeleted, ...]:
    """`history` is what happened to the content on the user's stream, in order. Raises NoSuchContent."""
    last = next(reversed(tuple(history)), None)
    if not isinstance(last, ContentStored):
        raise NoSuchContent(content_id=command.content_id)
    return (ContentDeleted(content_id=command.content_id, bytes=last.bytes),)
