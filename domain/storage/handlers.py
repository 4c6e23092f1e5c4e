"""How commands and questions on storage are handled: which streams and tags they see."""

from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import StreamKind, Work
from domain.organisations.state import STREAM as ORGANISATION
from domain.organisations.state import organisation_of
from domain.quotas import quota as quotas
from domain.storage.delete import DeleteContent, delete
from domain.storage.events import EVENTS
from domain.storage.now import StorageNow, StorageUse, storage_use
from domain.storage.set_limit import SetStorageLimit, set_limit
from domain.storage.state import PREFIX, Storage, content_tag, evolve, storage_of, stream_of


def _storage_now(work: Work, question: StorageNow) -> StorageUse:
    return storage_use(storage_of(work, question.user), organisation_of(work), question)


DECIDERS: dict[type, Decider] = {
    SetStorageLimit: Decider(lambda command: (stream_of(command.user),), set_limit),
    DeleteContent: Decider(
        lambda command: (stream_of(command.user),), delete, tags=lambda command: (content_tag(command.content_id),)
    ),
}

ANSWERERS: dict[type, Answerer] = {
    StorageNow: Answerer(lambda question: (stream_of(question.user), ORGANISATION), _storage_now),
}

KINDS: dict[str, StreamKind] = {
    PREFIX: quotas.kind(Storage(), evolve),
}


MODULE = Module(deciders=DECIDERS, answerers=ANSWERERS, kinds=KINDS, events=EVENTS)
