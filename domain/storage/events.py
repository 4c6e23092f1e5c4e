"""Facts about a user's stored content. Sizes are bytes; what is held and used is in the events of `domain.quotas`."""

from dataclasses import dataclass

from domain.quotas.events import QuotaEvent
from domain.untagged import Untagged


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentStored:
    """A generated object is kept; its bytes count from now on, even past the limit (contract)."""

    content_id: str
    bytes: int
    generation_id: str | None = None
    sealed: str | None = None  # its URL

    @property
    def tag(self) -> str:
        return f"content/{self.content_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentDeleted:
    """The object is gone and its bytes are free again."""

    content_id: str
    bytes: int

    @property
    def tag(self) -> str:
        return f"content/{self.content_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLimitSet(Untagged):
    """The user's own limit in bytes; none for that of the plan, or else of the deployment."""

    limit: int | None


StorageEvent = ContentStored | ContentDeleted | StorageLimitSet | QuotaEvent

EVENTS: dict[str, type] = {  # by stored name, which never changes
    "content-stored.v1": ContentStored,
    "content-deleted.v1": ContentDeleted,
    "storage-limit-set.v1": StorageLimitSet,
}
