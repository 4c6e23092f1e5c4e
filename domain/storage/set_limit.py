"""Give a user a storage limit of the user's own (S0)."""

from dataclasses import dataclass

from domain.kernel.work import Work
from domain.storage.events import StorageLimitSet
from domain.storage.refusals import InvalidLimit
from domain.storage.state import stream_of

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
