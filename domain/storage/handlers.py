"""How commands and questions on storage are handled: which streams and tags they see."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import StreamKind, Work
from domain.organisations import state as organisations
from domain.quotas import quota as quotas
from domain.storage.delete import DeleteContent, delete
from domain.storage.events import EVENTS
from domain.storage.now import StorageNow, StorageUse, storage_use
from domain.storage.set_limit import SetStorageLimit, set_limit
from domain.storage.state import PREFIX, Storage, content_tag, evolve, stream_of


def _set_limit(work: Work, command: SetStorageLimit, now: datetime) -> Iterable[tuple[str, Any]]:
    stream = stream_of(command.user)
    return [(stream, event) for event in set_limit(work.state(stream), command, now)]


def _delete(work: Work, command: DeleteContent, _now: datetime) -> Iterable[tuple[str, Any]]:
    """Another user's content of this id is none of this user's."""
    stream = stream_of(command.user)
    history = [event for home, event in work.events(content_tag(command.content_id)) if home == stream]
    return [(stream, event) for event in delete(command, history)]


def _storage_now(work: Work, question: StorageNow, _now: datetime) -> StorageUse:
    return storage_use(work.state(stream_of(question.user)), work.state(organisations.STREAM), question)


DECIDERS: dict[type, Decider] = {
    SetStorageLimit: Decider(lambda command: (stream_of(command.user),), _set_limit),
    DeleteContent: Decider(
        lambda command: (stream_of(command.user),), _delete, tags=lambda command: (content_tag(command.content_id),)
    ),
}

ANSWERERS: dict[type, Answerer] = {
    StorageNow: Answerer(lambda question: (stream_of(question.user), organisations.STREAM), _storage_now),
}

KINDS: dict[str, StreamKind] = {
    PREFIX: quotas.kind(Storage(), evolve),
}


MODULE = Module(deciders=DECIDERS, answerers=ANSWERERS, kinds=KINDS, events=EVENTS)
