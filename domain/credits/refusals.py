"""Every way in which a command on an account can be refused."""

from dataclasses import dataclass
from typing import ClassVar

from domain.refusal import Refusal, RefusalKind


@dataclass(unsafe_hash=True)
class InsufficientCredits(Refusal):
    """There are too few credits. The sentence is worded as S4 has it."""

    code: ClassVar[str] = "insufficient_credits"
    kind: ClassVar[RefusalKind] = RefusalKind.SHORT
    required: int
    available: int

    @property
    def deficit(self) -> int:
        return self.required - self.available

    def facts(self) -> dict[str, object]:
        return {"required": self.required, "available": self.available, "deficit": self.deficit}

    def __str__(self) -> str:
        return (
            f"Insufficient credits. You need {self.required} credits but only have {self.available}. "
            f"You're {self.deficit} credits short."
        )


@dataclass(unsafe_hash=True)
class AccountFrozen(Refusal):
    """The account is frozen: it receives and settles, but starts nothing new."""

    code: ClassVar[str] = "account_frozen"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT

    def __str__(self) -> str:
        return "The account is frozen. It can receive credits and settle what is held, but not spend."


@dataclass(unsafe_hash=True)
class AccountClosed(Refusal):
    """The account is closed for good or until it is opened again."""

    code: ClassVar[str] = "account_closed"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT

    def __str__(self) -> str:
        return "The account is closed."


@dataclass(unsafe_hash=True)
class AccountInUse(Refusal):
    """An account with open reservations cannot be closed."""

    code: ClassVar[str] = "account_in_use"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    open_reservations: int

    def __str__(self) -> str:
        return f"The account cannot be closed while {self.open_reservations} of its reservations are open."


@dataclass(unsafe_hash=True)
class AlreadyExists(Refusal):
    """The caller's own id, or an outside payment reference, was used before in this organisation."""

    code: ClassVar[str] = "exists"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    field: str
    value: str

    def __str__(self) -> str:
        return f"{self.field} {self.value} is already used in this organisation."


@dataclass(unsafe_hash=True)
class TooMany(Refusal):
    """The account's state has reached its bound (architecture, "Bounded state")."""

    code: ClassVar[str] = "too_many"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    what: str  # `grants`, `reservations` or `voided_grants`
    limit: int

    def __post_init__(self) -> None:
        self.code = f"too_many_{self.what}"  # type: ignore[misc]  # one class for the codes too_many_*

    def facts(self) -> dict[str, object]:
        return {"limit": self.limit}

    def __str__(self) -> str:
        return f"An account may have at most {self.limit} open {self.what.replace('_', ' ')}."


@dataclass(unsafe_hash=True)
class TooManyGrantsAtOnce(Refusal):
    """The amount is spread over more grants than one event may name; `possible` is what can be taken at a time."""

    code: ClassVar[str] = "too_many_grants_at_once"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    limit: int
    possible: int

    def __str__(self) -> str:
        return (
            f"The amount is spread over more than {self.limit} grants, which is the limit for one operation."
            f" At most {self.possible} can be taken at a time."
        )


@dataclass(unsafe_hash=True)
class NotFound(Refusal):
    """What the command names does not exist in this account."""

    code: ClassVar[str] = "not_found"
    kind: ClassVar[RefusalKind] = RefusalKind.MISSING
    what: str  # `grant`, `reservation` or `debit`
    id: str

    def __str__(self) -> str:
        return f"There is no {self.what} {self.id} in this account."


@dataclass(unsafe_hash=True)
class ReservationEnded(Refusal):
    """A reservation ends exactly once: `outcome` is `captured`, `released` or `expired`."""

    code: ClassVar[str] = "reservation_ended"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    reservation_id: str
    outcome: str

    def __str__(self) -> str:
        return f"The reservation {self.reservation_id} has already ended: it was {self.outcome}."


@dataclass(unsafe_hash=True)
class HeldByGeneration(Refusal):
    """The hold belongs to a generation, which ends all its holds together."""

    code: ClassVar[str] = "held_by_generation"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    generation_id: str

    def __str__(self) -> str:
        return f"The hold belongs to the generation {self.generation_id}: confirm, fail or cancel that instead."


@dataclass(unsafe_hash=True)
class ExceedsHold(Refusal):
    """More was to be captured than is left of the hold."""

    code: ClassVar[str] = "exceeds_hold"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    amount: int
    left: int

    def __str__(self) -> str:
        return f"The amount {self.amount} is more than the {self.left} credits that are left of the hold."


@dataclass(unsafe_hash=True)
class ExceedsDebit(Refusal):
    """More was to be refunded than is left of the debit."""

    code: ClassVar[str] = "exceeds_debit"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    amount: int
    left: int

    def __str__(self) -> str:
        if not self.left:
            return "The debit is refunded in full already."
        return f"The amount {self.amount} is more than the {self.left} credits of the debit that are not yet refunded."


@dataclass(unsafe_hash=True)
class InvalidTime(Refusal):
    """A time that the command names cannot be right, seen from the database's clock."""

    code: ClassVar[str] = "invalid_time"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field} {self.reason}."


@dataclass(unsafe_hash=True)
class SameAccount(Refusal):
    """A transfer needs two accounts of the same unit."""

    code: ClassVar[str] = "invalid_transfer"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    to: str

    def __str__(self) -> str:
        return f"Credits cannot be transferred to {self.to}: it must be another account of the same unit."
