"""Buy a package or a plan, and give up what an account owes (S3)."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, model_validator

from api.answers import Answer
from api.commands.plans import Price
from api.fields import AddressText, Amount, Body, Id, Metadata, Text
from api.operation import Call, Operation
from api.policy import owns
from api.problems import Problem, invalid
from domain.credits.address import parse_address
from domain.credits.events import ShortfallWrittenOff
from domain.credits.shortfall import WriteOffShortfall
from domain.organisations.events import Billing
from domain.plans.events import PurchaseStarted
from domain.plans.start_purchase import StartPurchase
from infra.ids import uuid7
from infra.position import format_position
from infra.security.principal import Role
from infra.writer.submission import Outcome

PURCHASES = "/api/v1/purchases"
MANAGERS = (Role.ORG_ADMIN, Role.ADMIN)


class PurchaseBody(Body):
    """Exactly one of `package` and `plan`. `account`: whom a package is for, oneself where none is named."""

    package: Id | None = None
    account: AddressText | None = None
    plan: Id | None = None
    billing: Literal["monthly", "annual"] = "monthly"

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.package is None) == (self.plan is None):
            raise ValueError("must name a package or a plan, and not both")
        if self.plan is not None and self.account is not None:
            raise ValueError("takes no account with a plan, which is the organisation's")
        return self


class PurchaseAnswer(BaseModel):
    """`status`: completed, or pending until it is paid at `checkout_url`."""

    purchase_id: str
    status: str
    provider: str
    price: Price
    account: str | None = None
    plan: str | None = None
    billing: str | None = None
    checkout_url: str | None = None
    position: str


class PurchaseRow(BaseModel):
    """A purchase and what became of it."""

    purchase_id: str
    user_id: str
    provider: str
    status: Literal["pending", "completed", "failed"]
    price: Price
    package: dict[str, Any] | None = None
    account: str | None = None
    plan: str | None = None
    billing: str
    payment_ref: str | None = None
    reason: str | None = None
    created_at: datetime
    ended_at: datetime | None = None
    position: str


class WriteOffBody(Body):
    """`amount`: all that is owed where none is given."""

    amount: Amount | None = None
    reason: Text | None = None
    metadata: Metadata | None = None


class WriteOffAnswer(BaseModel):
    """What nobody will pay any more."""

    amount: int
    position: str


def start_command(call: Call, body: PurchaseBody, provider: str) -> StartPurchase:
    """The command. A user buys for themselves or tokens for the organisation; plans are for administrators.

    Raises Problem (403).
    """
    who = call.principal
    if body.plan is not None and who.role not in MANAGERS:
        raise Problem(403, "forbidden", "Only an administrator may buy a plan.", field="plan", role=who.role.value)
    if body.account is not None:
        _may_pay_for(call, body.account)
    return StartPurchase(
        purchase_id=uuid7(),
        user=who.sub,
        provider=provider,
        package=body.package,
        plan=body.plan,
        billing=Billing(body.billing),
        address=body.account,
    )


def _may_pay_for(call: Call, account: str) -> None:
    """Raises Problem: 403 for another user's account or another organisation, 422 for what is no account of one."""
    address = parse_address(account)
    if address.owner_type == "org":
        if address.owner_id != call.org:
            raise Problem(403, "other_organisation", "The account is another organisation's.", field="account")
    elif address.owner_type not in {"user", "group"}:
        raise invalid("account", "must be that of a user, a group or the organisation")
    elif call.principal.role is Role.USER and not owns(call.principal, address):
        raise Problem(403, "not_own", "A user may only buy for themselves or the organisation.", field="account")


def _written_off(outcome: Outcome) -> Answer:
    event: ShortfallWrittenOff = outcome.events[0][1]
    return {"amount": event.amount, "position": format_position(outcome.position)}


def started(event: PurchaseStarted) -> Answer:
    """What is bought, as the command decided it."""
    plan = event.plan.plan if event.plan else None
    return {
        "purchase_id": event.purchase_id,
        "provider": event.provider,
        "account": event.address,
        "plan": plan,
        "billing": event.billing if plan else None,
    }


WRITE_OFF = Operation(
    name="write_off_shortfall",
    path="/api/v1/accounts/{address}/shortfall/write-off",
    summary="Give up what an account owes",
    body=WriteOffBody,
    answers=WriteOffAnswer,
    build=lambda call, body, sealed: WriteOffShortfall(address=call.address, amount=body.amount, sealed=sealed),
    answer=_written_off,
)
