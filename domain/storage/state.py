"""What decisions need to know of a user's storage, and how full it is now (S0)."""

from dataclasses import dataclass
from typing import NamedTuple

from domain.kernel.work import Work
from domain.organisations.state import Organisation
from domain.quotas.quota import Quota, minus, plus
from domain.quotas.quota import evolve as evolve_quota
from domain.storage.events import ContentDeleted, ContentStored, StorageEvent, StorageLimitSet

PREFIX = "storage/"
BYTES = "bytes"


class Storage(NamedTuple):
    """Bytes used and held, and the user's own limit (none for that of the plan). Contents are found by their tags."""

    quota: Quota = Quota()
    limit: int | None = None


def stream_of(user: str) -> str:
    """The stream of a user's storage."""
    return PREFIX + user


def content_tag(content_id: str) -> str:
    """The tag of what happened to one content; its id is unique in the organisation."""
    return f"content/{content_id}"


def evolve(storage: Storage, event: StorageEvent) -> Storage:
    """Apply one event."""
    match event:
        case ContentStored():
            return storage._replace(quota=storage.quota._replace(used=plus(storage.quota.used, {BYTES: event.bytes})))
        case ContentDeleted():
            return storage._replace(quota=storage.quota._replace(used=minus(storage.quota.used, {BYTES: event.bytes})))
        case StorageLimitSet():
            return storage._replace(limit=event.limit)
        case _:
            return storage._replace(quota=evolve_quota(storage.quota, event))


def storage_of(work: Work, user: str) -> Storage:
    """A user's storage, as a decision sees it."""
    storage: Storage = work.state(stream_of(user))
    return storage


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageNow:
    """Ask for a user's storage; `default_limit` is the deployment's, in bytes."""

    user: str
    default_limit: int


class StorageUse(NamedTuple):
    """In bytes: what is stored, what is held for generations that run, and the limit for both together."""

    used: int
    held: int
    limit: int

    @property
    def free(self) -> int:
        """What more may be asked for; 0 where more is stored than the limit allows."""
        return max(0, self.limit - self.used - self.held)


def limit_of(storage: Storage, organisation: Organisation, default: int) -> int:
    """The user's limit in bytes, else the plan's, else the deployment's (contract)."""
    if storage.limit is not None:
        return storage.limit
    return default if organisation.storage_limit is None else organisation.storage_limit


def storage_use(storage: Storage, organisation: Organisation, question: StorageNow) -> StorageUse:
    """The answer to `StorageNow`; who has stored nothing has all of the limit."""
    return StorageUse(
        used=storage.quota.used.get(BYTES, 0),
        held=storage.quota.held.get(BYTES, 0),
        limit=limit_of(storage, organisation, question.default_limit),
    )
