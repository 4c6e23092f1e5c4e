"""Every way in which a command on storage can be refused."""

from domain.refusal import Refusal, RefusalKind


class NoSuchContent(Refusal, code="not_found", kind=RefusalKind.MISSING):
    """The user never kept this content, or it is deleted already."""

    content_id: str

    def __str__(self) -> str:
        return f"There is no content {self.content_id}."


class InvalidLimit(Refusal, code="invalid_limit", kind=RefusalKind.INVALID):
    """A storage limit that is out of bounds; `limit` is the most that is possible."""

    field: str
    limit: int

    def __str__(self) -> str:
        return f"{self.field}: must be from 0 to {self.limit} bytes."
