"""Delete a stored content, which frees its bytes (S0)."""

from dataclasses import dataclass

from domain.kernel.work import Work
from domain.storage.events import ContentDeleted, ContentStored
from domain.storage.refusals import NoSuchContent
from domain.storage.state import content_tag, stream_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteContent:
    """Delete one content of the user's."""

    user: str
    content_id: str


def delete(work: Work, command: DeleteContent) -> None:
    """Another user's content of this id is none of this user's. Raises NoSuchContent."""
    stream = stream_of(command.user)
    last = next(reversed(work.history(stream, content_tag(command.content_id))), None)
    if not isinstance(last, ContentStored):
        raise NoSuchContent(content_id=command.content_id)
    work.emit(stream, ContentDeleted(content_id=command.content_id, bytes=last.bytes))
