"""How commands and questions on storage are handled: which streams and tags they see."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.execution import Answerer, Handler, View
from domain.organisations import state as organisations
from domain.storage.delete import DeleteContent, delete
from domain.storage.now import StorageNow, StorageUse, storage_use
from domain.storage.set_limit import SetStorageLimit, set_limit
from domain.storage.state import content_tag, stream_of


def _set_limit(view: View, command: SetStorageLimit, now: datetime) -> Iterable[tuple[str, Any]]:
    stream = stream_of(command.user)
    return [(stream, event) for event in set_limit(view.state(stream), command, now)]


def _delete(view: View, command: DeleteContent, _now: datetime) -> Iterable[tuple[str, Any]]:
    """Another user's content of this id is none of this user's."""
    stream = stream_of(command.user)
    history = [event for home, event in view.tagged(content_tag(command.content_id)) if home == stream]
    return [(stream, event) for event in delete(command, history)]


def _storage_now(view: View, question: StorageNow, _now: datetime) -> StorageUse:
    return storage_use(view.state(stream_of(question.user)), view.state(organisations.STREAM), question)


HANDLERS: dict[type, Handler] = {
    SetStorageLimit: Handler(lambda command: (stream_of(command.user),), _set_limit),
    DeleteContent: Handler(
        lambda command: (stream_of(command.user),), _delete, tags=lambda command: (content_tag(command.content_id),)
    ),
}

ANSWERERS: dict[type, Answerer] = {
    StorageNow: Answerer(lambda question: (stream_of(question.user), organisations.STREAM), _storage_now),
}
