"""Use an organisation's plan tokens (S3)."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from api.fields import Amount, Body, Id, Metadata, Model, Name, Text
from api.http.caller import Call, own_only
from api.http.command import command
from api.http.policy import May
from domain.plans.deduct import DeductTokens, TokensNow
from infra.ids import uuid7
from infra.security.principal import Role


class UseBody(Body):
    """`quantity` uses of a token type or a feature; with both, the feature is only a label.

    `check` asks, `deduct` charges at once. `user_id`: who uses them, oneself where not given by a user.
    """

    action: Literal["check", "deduct"]
    token_type: Name | None = None
    feature: Model | None = None
    quantity: Amount = 1
    complexity: Annotated[str | None, Field(max_length=255)] = None
    user_id: Id | None = None
    reason: Text | None = None
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.token_type is None and self.feature is None:
            raise ValueError("needs a token_type or a feature")
        return self


class UseAnswer(BaseModel):
    """Whether it is allowed. `balance`: tokens of the type that are left, after a deduction; `cost`: tokens.

    `reason`: `ok`, `plan_blocked`, `group_limit` or `insufficient_tokens`; `detail` is its sentence for people.
    """

    allowed: bool
    reason: str
    detail: str | None = None
    token_type: str | None = None
    cost: int | None = None
    balance: int | None = None
    deficit: int | None = None
    refresh_date: datetime | None = None
    debit_id: str | None = None
    position: str


def who_uses(call: Call, body: UseBody) -> str | None:
    """The user who uses the tokens, none where a program names nobody. Raises Problem (403)."""
    if call.principal.role is not Role.USER:
        return body.user_id
    own_only(call, body.user_id or call.principal.sub)
    return call.principal.sub


def question(call: Call, body: UseBody) -> TokensNow:
    """The question whether the use would be accepted."""
    return TokensNow(
        token_type=body.token_type,
        feature=body.feature,
        quantity=body.quantity,
        complexity=body.complexity,
        user=who_uses(call, body),
    )


def _deduct(call: Call, body: UseBody, sealed: str | None) -> Any:
    return DeductTokens(
        debit_id=uuid7(),
        token_type=body.token_type,
        feature=body.feature,
        quantity=body.quantity,
        complexity=body.complexity,
        user=who_uses(call, body),
        sealed=sealed,
    )


# A part of the endpoint `use_tokens`, which also answers what a use would cost.
_DEDUCT = command(
    "POST /api/v1/tokens/check-balance",
    May.USE_TOKENS,
    UseAnswer,
    name="use_tokens",
    account=lambda call, body: f"org:{call.org}:tokens.{body.token_type or 'feature'}",
    check=who_uses,
)(_deduct)
