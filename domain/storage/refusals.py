"""Every way in which a command on storage can be refused."""

from dataclasses import dataclass
from typing import ClassVar

from domain.refusal import Refusal, RefusalKind


@dataclass(unsafe_hash=True)
class NoSuchContent(Refusal):
    """The user never kept this content, or it is deleted already."""

    code: ClassVar[str] = "not_found"
    kind: ClassVar[RefusalKind] = RefusalKind.MISSING
    content_id: str

    def __str__(self) -> str:
        return f"There is no content {self.content_id}."


@dataclass(unsafe_hash=True)
class InvalidLimit(Refusal):
    """A storage limit that is out of bounds; `limit` is the most that is possible."""

    code: ClassVar[str] = "invalid_limit"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    field: str
    limit: int

    def __str__(self) -> str:
        return f"{self.field}: must be from 0 to {self.limit} bytes."
