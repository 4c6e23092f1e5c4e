"""What decisions need to know of a user's storage."""

from typing import NamedTuple

from domain.kernel.work import Work
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
