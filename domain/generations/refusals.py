"""Every way in which a command on a generation can be refused."""

from typing import Any

from domain.refusal import InvalidValue, Refusal, RefusalKind


class ResourcesShort(Refusal, code="insufficient_resources", kind=RefusalKind.SHORT):
    """Something that the generation needs is short; `told` is the whole answer of the check (contract).

    Its `code` is the reason.
    """

    reason: str
    sentence: str
    told: dict[str, Any]

    def __post_init__(self) -> None:
        self.code = self.reason  # type: ignore[misc]  # one class for all reasons

    def facts(self) -> dict[str, object]:
        return dict(self.told)

    def __str__(self) -> str:
        return self.sentence


class ResourcesBusy(ResourcesShort, code="resources_busy", kind=RefusalKind.BUSY):
    """Only transient resources are short. The caller retries, so this refusal is not stored.

    Its `code` is the reason. `asked`: who wanted what, as no event says it.
    """

    asked: dict[str, Any]

    def facts(self) -> dict[str, object]:
        return {**self.told, "asked": self.asked}


class InsufficientTokens(Refusal, code="insufficient_tokens", kind=RefusalKind.SHORT):
    """There are too few tokens for a generation to grow."""

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


class TokensNeeded(Refusal, code="tokens_needed", kind=RefusalKind.INVALID):
    """Neither a price nor an estimate says how many tokens the operation takes."""

    operation: str
    field: str = "tokens"

    def __str__(self) -> str:
        return f"tokens: {self.operation} has no price and no estimate, so tokens must be given."


class NothingToCheck(Refusal, code="unpriced", kind=RefusalKind.INVALID):
    """Nothing that was asked for takes anything: that would be free."""

    operation: str

    def __str__(self) -> str:
        return f"{self.operation} takes nothing: name a model, tokens, bytes or a token type."


class NoSuchGeneration(Refusal, code="not_found", kind=RefusalKind.MISSING):
    """There is no generation of this id, or it was refused and never held anything."""

    generation_id: str

    def __str__(self) -> str:
        return f"There is no generation {self.generation_id}."


class UnknownParent(Refusal, code="unknown_parent", kind=RefusalKind.INVALID):
    """The parent that a sub-task names is no generation of the same user."""

    value: str
    field: str = "parent_id"

    def __str__(self) -> str:
        return f"parent_id: {self.value} is no generation of this user."


class GenerationEnded(Refusal, code="generation_ended", kind=RefusalKind.CONFLICT):
    """A generation ends exactly once."""

    generation_id: str
    status: str

    def facts(self) -> dict[str, object]:
        return {"generation_id": self.generation_id, "outcome": self.status}  # a problem's own `status` is a number

    def __str__(self) -> str:
        return f"The generation {self.generation_id} has already ended: it is {self.status.replace('_', ' ')}."


class AlreadyStarted(Refusal, code="already_started", kind=RefusalKind.CONFLICT):
    """A worker has started it; only its outcome ends it now."""

    generation_id: str

    def __str__(self) -> str:
        return f"A worker has started the generation {self.generation_id}; only its outcome ends it now."


class InvalidSettlement(InvalidValue, Refusal, code="invalid_settlement"):
    """What a worker reports cannot be right; `limit` is the most that is possible, where there is one."""


class NothingToRefund(Refusal, code="nothing_to_refund", kind=RefusalKind.CONFLICT):
    """The generation was charged nothing, or all of it was given back."""

    generation_id: str

    def __str__(self) -> str:
        return f"Nothing of the generation {self.generation_id} is left to refund."


class ExceedsCharge(Refusal, code="exceeds_debit", kind=RefusalKind.CONFLICT):
    """More was to be refunded than is left of the charge."""

    amount: int
    left: int

    def __str__(self) -> str:
        return f"The amount {self.amount} is more than the {self.left} of the charge that are not yet refunded."
