"""Every way in which a command on an account can be refused."""

from domain.refusal import Refusal, RefusalKind


class InsufficientCredits(Refusal, code="insufficient_credits", kind=RefusalKind.SHORT):
    """There are too few credits. The sentence is worded as S4 has it."""

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


class AccountFrozen(Refusal, code="account_frozen", kind=RefusalKind.CONFLICT):
    """The account is frozen: it receives and settles, but starts nothing new."""

    def __str__(self) -> str:
        return "The account is frozen. It can receive credits and settle what is held, but not spend."


class AccountClosed(Refusal, code="account_closed", kind=RefusalKind.CONFLICT):
    """The account is closed for good or until it is opened again."""

    def __str__(self) -> str:
        return "The account is closed."


class AccountInUse(Refusal, code="account_in_use", kind=RefusalKind.CONFLICT):
    """An account with open reservations cannot be closed."""

    open_reservations: int

    def __str__(self) -> str:
        return f"The account cannot be closed while {self.open_reservations} of its reservations are open."


class AlreadyExists(Refusal, code="exists", kind=RefusalKind.CONFLICT):
    """The caller's own id, or an outside payment reference, was used before in this organisation."""

    field: str
    value: str

    def __str__(self) -> str:
        return f"{self.field} {self.value} is already used in this organisation."


class TooMany(Refusal, code="too_many", kind=RefusalKind.CONFLICT):
    """The account's state has reached its bound (architecture, "Bounded state")."""

    what: str  # `grants`, `reservations` or `voided_grants`
    limit: int

    def __post_init__(self) -> None:
        self.code = f"too_many_{self.what}"  # type: ignore[misc]  # one class for the codes too_many_*

    def facts(self) -> dict[str, object]:
        return {"limit": self.limit}

    def __str__(self) -> str:
        return f"An account may have at most {self.limit} open {self.what.replace('_', ' ')}."


class TooManyGrantsAtOnce(Refusal, code="too_many_grants_at_once", kind=RefusalKind.CONFLICT):
    """The amount is spread over more grants than one event may name; `possible` is what can be taken at a time."""

    limit: int
    possible: int

    def __str__(self) -> str:
        return (
            f"The amount is spread over more than {self.limit} grants, which is the limit for one operation."
            f" At most {self.possible} can be taken at a time."
        )


class NotFound(Refusal, code="not_found", kind=RefusalKind.MISSING):
    """What the command names does not exist in this account."""

    what: str  # `grant`, `reservation` or `debit`
    id: str

    def __str__(self) -> str:
        return f"There is no {self.what} {self.id} in this account."


class ReservationEnded(Refusal, code="reservation_ended", kind=RefusalKind.CONFLICT):
    """A reservation ends exactly once: `outcome` is `captured`, `released` or `expired`."""

    reservation_id: str
    outcome: str

    def __str__(self) -> str:
        return f"The reservation {self.reservation_id} has already ended: it was {self.outcome}."


class HeldByGeneration(Refusal, code="held_by_generation", kind=RefusalKind.CONFLICT):
    """The hold belongs to a generation, which ends all its holds together."""

    generation_id: str

    def __str__(self) -> str:
        return f"The hold belongs to the generation {self.generation_id}: confirm, fail or cancel that instead."


class ExceedsHold(Refusal, code="exceeds_hold", kind=RefusalKind.INVALID):
    """More was to be captured than is left of the hold."""

    amount: int
    left: int

    def __str__(self) -> str:
        return f"The amount {self.amount} is more than the {self.left} credits that are left of the hold."


class ExceedsDebit(Refusal, code="exceeds_debit", kind=RefusalKind.CONFLICT):
    """More was to be refunded than is left of the debit."""

    amount: int
    left: int

    def __str__(self) -> str:
        if not self.left:
            return "The debit is refunded in full already."
        return f"The amount {self.amount} is more than the {self.left} credits of the debit that are not yet refunded."


class InvalidTime(Refusal, code="invalid_time", kind=RefusalKind.INVALID):
    """A time that the command names cannot be right, seen from the database's clock."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field} {self.reason}."


class SameAccount(Refusal, code="invalid_transfer", kind=RefusalKind.INVALID):
    """A transfer needs two accounts of the same unit."""

    to: str

    def __str__(self) -> str:
        return f"Credits cannot be transferred to {self.to}: it must be another account of the same unit."
