"""How full a user's storage is at this moment (S0)."""

from dataclasses import dataclass
from typing import NamedTuple

from domain.organisations.state import Organisation
from domain.storage.state import BYTES, Storage


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
