"""Buy a package or a plan, say that it is paid or not wanted any more, and give up what an account owes (S3)."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, model_validator

from api.answers import Answer
from api.commands.generations import NoBody
from api.commands.plans import Price
from api.current import read_current
from api.fields import AddressText, Amount, Body, Id, Metadata, Text
from api.http.caller import Call, Found, own_only
from api.http.command import command
from api.http.policy import May, owns
from api.problems import Problem, invalid, refused
from domain.credits.address import parse_address
from domain.credits.events import ShortfallWrittenOff
from domain.credits.shortfall import WriteOffShortfall
from domain.organisations.events import Billing
from domain.plans.complete_purchase import CompletePurchase
from domain.plans.events import PurchaseStarted
from domain.plans.fail_purchase import FailPurchase
from domain.plans.refusals import NoSuchPurchase
from domain.plans.start_purchase import StartPurchase
from domain.plans.state import Purchase, purchase_stream
from infra.ids import uuid7
from infra.payments.providers import MANUAL
from infra.position import format_position
from infra.security.principal import Role
from infra.writer.submission import Outcome, Refused

PURCHASES = "/api/v1/purchases"
MANAGERS = (Role.ORG_ADMIN, Role.ADMIN)
CANCELLED = "cancelled"


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
    """`status`: pending until it is paid, at `checkout_url` or, without one, by an invoice."""

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


class MarkPaidBody(Body):
    """`payment_ref`: the payment's own id (of a bank transfer, for example), unique in the organisation."""

    payment_ref: Id | None = None


class SettledPurchaseAnswer(BaseModel):
    """What became of the purchase."""

    purchase_id: str
    status: str
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


def start_command(call: Call, body: PurchaseBody, provider: str, unit: str | None = None) -> StartPurchase:
    """The command. A user buys for themselves alone; plans are for administrators. Raises Problem (403).

    `unit`: that of the package, where a user buys one and names no account.
    """
    who = call.principal
    if body.plan is not None and who.role not in MANAGERS:
        raise Problem(403, "forbidden", "Only an administrator may buy a plan.", field="plan", role=who.role.value)
    account = body.account
    if account is None and unit is not None:
        if unit.startswith("tokens."):  # the organisation's
            raise _not_own()
        account = f"user:{who.sub}:{unit}"
    elif account is not None:
        _may_pay_for(call, account)
    return StartPurchase(
        purchase_id=uuid7(),
        user=who.sub,
        provider=provider,
        package=body.package,
        plan=body.plan,
        billing=Billing(body.billing),
        address=account,
    )


def _may_pay_for(call: Call, account: str) -> None:
    """Raises Problem: 403 for another user's account or another organisation, 422 for what is no account of one."""
    address = parse_address(account)
    if address.owner_type == "org" and address.owner_id != call.org:
        raise Problem(403, "other_organisation", "The account is another organisation's.", field="account")
    if address.owner_type not in {"user", "group", "org"}:
        raise invalid("account", "must be that of a user, a group or the organisation")
    if call.principal.role is Role.USER and not owns(call.principal, address):
        raise _not_own()


def _not_own() -> Problem:
    return Problem(403, "not_own", "A user may only buy for their own accounts.", field="account")


def _written_off(outcome: Outcome) -> Answer:
    return {"amount": outcome.one(ShortfallWrittenOff).amount, "position": format_position(outcome.position)}


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


async def _to_pay(call: Call, body: MarkPaidBody) -> Call:
    """The call with the command that says it is paid: what is bought, from whom and for how much never changes.

    Who may give a thing away may say that it is paid: credits and tokens an administrator of the organisation, a plan
    only the platform. Raises Problem (403, 404, 409, 503).
    """
    purchase, started_ = await _purchase(call)
    if started_.provider != MANUAL:
        detail = f"{started_.provider} takes the payment of this purchase, and says when it has arrived."
        raise Problem(409, "paid_by_provider", detail, provider=started_.provider)
    if started_.plan is not None and call.principal.role is not Role.ADMIN:
        raise Problem(403, "forbidden", "Plans are sold by the platform: only its admin may say that one is paid.")
    ref = body.payment_ref or purchase.payment_ref or f"invoice.{call.id}"
    command = CompletePurchase(purchase_id=call.id, payment_ref=ref, paid=started_.price)
    return replace(call, found=Found(expected=command))


async def _to_cancel(call: Call, _body: Any) -> Call:
    """A user may give up only their own. Raises Problem (403, 404, 503)."""
    if call.principal.role is Role.USER:
        _, started_ = await _purchase(call)
        own_only(call, started_.user)
    return call


async def _purchase(call: Call) -> tuple[Purchase, PurchaseStarted]:
    stream = purchase_stream(call.id)
    purchase: Purchase = (await read_current(call.services, call.org, stream)).states[stream]
    if purchase.started is None:
        raise refused(Refused.of(NoSuchPurchase(call.id)))
    return purchase, purchase.started


async def _settled(call: Call, outcome: Outcome, status: str) -> Answer:
    return {"purchase_id": call.id, "status": status, "position": format_position(outcome.position)}


@command(
    "POST /api/v1/purchases/{id}/paid",
    May.MANAGE_CREDITS,
    SettledPurchaseAnswer,
    look=_to_pay,
    tell=lambda call, _body, outcome: _settled(call, outcome, "completed"),
)
def mark_purchase_paid(call: Call, _body: MarkPaidBody, _sealed: str | None) -> Any:
    """Say that a purchase on invoice is paid, and deliver it once."""
    return call.found.expected


@command(
    "POST /api/v1/purchases/{id}/cancel",
    May.BUY,
    SettledPurchaseAnswer,
    look=_to_cancel,
    tell=lambda call, _body, outcome: _settled(call, outcome, CANCELLED),
    free=lambda _body: True,
)
def cancel_purchase(call: Call, _body: NoBody, _sealed: str | None) -> Any:
    """Give up a purchase that is not paid."""
    return FailPurchase(purchase_id=call.id, reason=CANCELLED)


@command("POST /api/v1/accounts/{address}/shortfall/write-off", May.MANAGE_CREDITS, WriteOffAnswer, answer=_written_off)
def write_off_shortfall(call: Call, body: WriteOffBody, sealed: str | None) -> Any:
    """Give up what an account owes."""
    return WriteOffShortfall(address=call.address, amount=body.amount, sealed=sealed)
