"""The one base class of every business refusal."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import ClassVar, dataclass_transform


class RefusalKind(StrEnum):
    """Why a command was refused: the five cases that callers handle differently.

    The edge turns each into its own status; the ledger keeps all but `INVALID` and `BUSY` under the idempotency key,
    because an invalid value is no decision about the ledger's state (contract, "Idempotency"), and what is busy is to
    be tried again.
    """

    SHORT = "short"  # a resource is missing: credits today, others later
    MISSING = "missing"  # what the command names does not exist
    CONFLICT = "conflict"  # it exists, but its state does not allow this
    BUSY = "busy"  # temporary: the same command may succeed later
    INVALID = "invalid"  # a value that cannot be right, whatever is retried


@dataclass_transform()
@dataclass(unsafe_hash=True)
class Refusal(Exception):
    """A definite "no" with the numbers of the decision.

    Subclasses are dataclasses, and named with their `code` and `kind`: their fields are the facts that the caller gets,
    `str()` is the sentence for people.
    """

    code: ClassVar[str]
    kind: ClassVar[RefusalKind]

    def __init_subclass__(cls, *, code: str | None = None, kind: RefusalKind | None = None) -> None:
        super().__init_subclass__()
        if code is not None:
            cls.code = code
        if kind is not None:
            cls.kind = kind
        dataclass(unsafe_hash=True)(cls)

    def facts(self) -> dict[str, object]:
        """The numbers and names involved, ready for an answer."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(unsafe_hash=True)
class InvalidValue:
    """What refusals of one wrong value have; `limit` is the bound that it passes, where there is one."""

    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    field: str
    reason: str
    limit: int | None = None

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}."


class StaleVersion(Refusal, code="stale_version", kind=RefusalKind.CONFLICT):
    """What the caller wants to overwrite has changed since it was read; `current` is how it is now."""

    what: str
    current: int | str

    def __str__(self) -> str:
        return f"The {self.what} has changed since it was read; it is now {self.current}. Read it again."


class EventTooLarge(Refusal, code="event_too_large", kind=RefusalKind.CONFLICT):
    """The fact would be too large to be published; `size` and `limit` in bytes of its stored form."""

    size: int
    limit: int

    def __str__(self) -> str:
        return (
            f"This would be one event of {self.size} bytes; the limit is {self.limit}."
            " Ask for less at a time, for example a smaller amount."
        )


class RefusedWith(Exception):
    """A refusal that is worth a fact of its own: what the decision has emitted is stored although nothing else is."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
