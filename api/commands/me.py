"""Reserve, confirm and roll back for oneself: validate, reserve, generate, confirm or roll back (S4)."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, model_validator

from api.answers import transaction_answer
from api.fields import Amount, Body, Id, Label, Metadata, Options, Text, Ttl
from api.ids import new_id
from api.operation import Call, Operation
from domain.credits.capture import Capture
from domain.credits.release import Release
from domain.credits.reserve import DEFAULT_TTL_S, Reserve, ReservePriced
from domain.prices.quote import Ask

_PRICED = ("model", "options", "provider", "operation")


class MyCreditsBody(Body):
    """`reserve` takes exactly one of `amount` and `model` with `options`; the others take `transaction_id`."""

    action: Literal["reserve", "confirm", "rollback"]
    amount: Amount | None = None
    model: Label | None = None
    options: Options | None = None
    provider: Label | None = None
    operation: Label | None = None
    ttl_seconds: Ttl | None = None
    transaction_id: Id | None = None
    reason: Text | None = None
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        priced = [name for name in _PRICED if getattr(self, name) is not None]
        if self.action == "reserve":
            if self.transaction_id is not None:
                raise ValueError("transaction_id belongs to confirm and rollback")
            if (self.amount is None) == (self.model is None):
                raise ValueError("exactly one of amount and model is needed to reserve")
            if self.amount is not None and priced:
                raise ValueError(f"{priced[0]} needs a model to be priced by, not an amount")
        elif self.transaction_id is None:
            raise ValueError(f"transaction_id is needed to {self.action}")
        elif self.amount is not None or priced or self.ttl_seconds is not None:
            raise ValueError(f"{self.action} takes no amount, model or ttl_seconds: it settles the whole hold")
        return self


class MyCreditsAnswer(BaseModel):
    """The hold that is the caller's transaction, and what became of it."""

    transaction_id: str
    amount: int | None = None
    expires_at: datetime | None = None
    item: str | None = None
    price_version: int | None = None
    debit_id: str | None = None
    returned: int | None = None
    final: bool | None = None
    position: str


def _own(call: Call, _body: Any = None) -> str:
    return f"user:{call.principal.sub}:credits"


def _build(call: Call, body: MyCreditsBody, sealed: str | None) -> Any:
    own = _own(call)
    if body.action == "confirm" and body.transaction_id is not None:
        return Capture(address=own, reservation_id=body.transaction_id, debit_id=new_id(), sealed=sealed)
    if body.action == "rollback" and body.transaction_id is not None:
        return Release(address=own, reservation_id=body.transaction_id, sealed=sealed)
    ttl_s = body.ttl_seconds or DEFAULT_TTL_S
    if body.amount is not None:
        return Reserve(address=own, reservation_id=new_id(), amount=body.amount, ttl_s=ttl_s, sealed=sealed)
    ask = Ask(provider=body.provider, model=body.model, operation=body.operation, options=body.options or {})
    return ReservePriced(address=own, reservation_id=new_id(), ask=ask, ttl_s=ttl_s, sealed=sealed)


MY_CREDITS = Operation(
    name="use_my_credits",
    path="/api/credits/me",
    summary="Reserve, confirm or roll back credits for oneself",
    body=MyCreditsBody,
    answers=MyCreditsAnswer,
    build=_build,
    answer=transaction_answer,
    account=_own,
)
