"""The commands on storage, each with its decision (S0). The tables at the end say what each decision sees."""

from dataclasses import dataclass

from domain.kernel.domain import Answerer, Decider, Module
from domain.kernel.work import Work
from domain.organisations.state import STREAM as ORGANISATION
from domain.organisations.state import organisation_of
from domain.quotas import quota as quotas
from domain.storage.events import EVENTS, ContentDeleted, ContentStored, StorageLimitSet
from domain.storage.refusals import InvalidLimit, NoSuchContent
from domain.storage.state import (
    PREFIX,
    Storage,
    StorageNow,
    StorageUse,
    content_tag,
    evolve,
    storage_of,
    storage_use,
    stream_of,
)

MAX_LIMIT = 10**15  # about a petabyte


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStorageLimit:
    """`limit` in bytes, 0 (blocks) to 10^15; none for that of the plan, or else of the deployment."""

    user: str
    limit: int | None


def set_limit(work: Work, command: SetStorageLimit) -> None:
    """What is stored stays, even past the limit. Raises InvalidLimit."""
    if command.limit is not None and not 0 <= command.limit <= MAX_LIMIT:
        raise InvalidLimit(field="bytes", limit=MAX_LIMIT)
    work.emit(stream_of(command.user), StorageLimitSet(limit=command.limit))


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


def _storage_now(work: Work, question: StorageNow) -> StorageUse:
    return storage_use(storage_of(work, question.user), organisation_of(work), question)


MODULE = Module(
    deciders={
        SetStorageLimit: Decider(lambda command: (stream_of(command.user),), set_limit),
        DeleteContent: Decider(
            lambda command: (stream_of(command.user),), delete, tags=lambda command: (content_tag(command.content_id),)
        ),
    },
    answerers={
        StorageNow: Answerer(lambda question: (stream_of(question.user), ORGANISATION), _storage_now),
    },
    kinds={
        PREFIX: quotas.kind(Storage(), evolve),
    },
    events=EVENTS,
)
