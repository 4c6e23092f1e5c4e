"""Every way in which a command on a generation can be refused."""

from dataclasses import dataclass
from typing import Any, ClassVar

from domain.refusal import InvalidValue, Refusal, RefusalKind


@dataclass(unsafe_hash=True)
class ResourcesShort(Refusal):
    """Something that the generation needs is short; `told` is the whole answer of the check (contract)."""

    code: ClassVar[str] = "insufficient_resources"  # replaced by the reason
    kind: ClassVar[RefusalKind] = RefusalKind.SHORT
    reason: str
    sentence: str
    told: dict[str, Any]

    def __post_init__(self) -> None:
        self.code = self.reason  # type: ignore[misc]  # one class for all reasons

    def facts(self) -> dict[str, object]:
        return dict(self.told)

    def __str__(self) -> str:
        return self.sentence


@dataclass(unsafe_hash=True)
class InsufficientTokens(Refusal):
    """There are too few tokens for a generation to grow."""

    code: ClassVar[str] = "insufficient_tokens"
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
            f"Insufficient tokens. You need {self.required} tokens but only have {self.available}. "
            f"You're {self.deficit} tokens short."
        )


@dataclass(unsafe_hash=True)
class TokensNeeded(Refusal):
    """Neither a price nor an estimate says how many tokens the operation takes."""

    code: ClassVar[str] = "tokens_needed"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    operation: str
    field: str = "tokens"

    def __str__(self) -> str:
        return f"tokens: {self.operation} has no price and no estimate, so tokens must be given."


@dataclass(unsafe_hash=True)
class NothingToCheck(Refusal):
    """Nothing that was asked for takes anything: that would be free."""

    code: ClassVar[str] = "unpriced"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    operation: str

    def __str__(self) -> str:
        return f"{self.operation} takes nothing: name a model, tokens, bytes or a token type."


@dataclass(unsafe_hash=True)
class NoSuchGeneration(Refusal):
    """There is no generation of this id, or it was refused and never held anything."""

    code: ClassVar[str] = "not_found"
    kind: ClassVar[RefusalKind] = RefusalKind.MISSING
    generation_id: str

    def __str__(self) -> str:
        return f"There is no generation {self.generation_id}."


@dataclass(unsafe_hash=True)
class UnknownParent(Refusal):
    """The parent that a sub-task names is no generation of the same user."""

    code: ClassVar[str] = "unknown_parent"
    kind: ClassVar[RefusalKind] = RefusalKind.INVALID
    value: str
    field: str = "parent_id"

    def __str__(self) -> str:
        return f"parent_id: {self.value} is no generation of this user."


@dataclass(unsafe_hash=True)
class GenerationEnded(Refusal):
    """A generation ends exactly once."""

    code: ClassVar[str] = "generation_ended"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    generation_id: str
    status: str

    def facts(self) -> dict[str, object]:
        return {"generation_id": self.generation_id, "outcome": self.status}  # a problem's own `status` is a number

    def __str__(self) -> str:
        return f"The generation {self.generation_id} has already ended: it is {self.status.replace('_', ' ')}."


@dataclass(unsafe_hash=True)
class AlreadyStarted(Refusal):
    """A worker has started it; only its outcome ends it now."""

    code: ClassVar[str] = "already_started"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    generation_id: str

    def __str__(self) -> str:
        return f"A worker has started the generation {self.generation_id}; only its outcome ends it now."


@dataclass(unsafe_hash=True)
class InvalidSettlement(InvalidValue, Refusal):
    """What a worker reports cannot be right; `limit` is the most that is possible, where there is one."""

    code: ClassVar[str] = "invalid_settlement"


@dataclass(unsafe_hash=True)
class NothingToRefund(Refusal):
    """The generation was charged nothing, or all of it was given back."""

    code: ClassVar[str] = "nothing_to_refund"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    generation_id: str

    def __str__(self) -> str:
        return f"Nothing of the generation {self.generation_id} is left to refund."


@dataclass(unsafe_hash=True)
class ExceedsCharge(Refusal):
    """More was to be refunded than is left of the charge."""

    code: ClassVar[str] = "exceeds_debit"
    kind: ClassVar[RefusalKind] = RefusalKind.CONFLICT
    amount: int
    left: int

    def __str__(self) -> str:
        return f"The amount {self.amount} is more than the {self.left} of the charge that are not yet refunded."
