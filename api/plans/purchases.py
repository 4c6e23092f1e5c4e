"""Purchases: started by a buyer, delivered once when they are paid; what payment providers say; write-offs (S3)."""

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, Self

from fastapi import Request
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from api.generations.commands import NoBody
from api.http.caller import Call, Found, failed, own_only, read_head, seen_user
from api.http.command import command, count_free, execute
from api.http.database import Row
from api.http.endpoint import REPLAYED, Answer, as_json, endpoint, receive_body, services_of
from api.http.fields import AddressText, Amount, Body, Id, Name, NotedBody, UserId, strict_json
from api.http.lists import LAST, Json, Page, page_of
from api.http.policy import May, owns
from api.http.problems import Problem, invalid, refused
from api.http.services import Services
from api.plans.catalogue import Price, shown_money
from domain.credits.address import parse_address
from domain.credits.commands import WriteOffShortfall
from domain.credits.events import Paid, ShortfallWrittenOff
from domain.organisations.events import Billing
from domain.plans.events import PurchaseStarted
from domain.plans.purchases import CompletePurchase, FailPurchase, StartPurchase
from domain.plans.refusals import NoSuchPurchase, PaymentMismatch
from domain.plans.state import STREAM, Catalogue, Purchase, purchase_stream
from infra.ids import uuid7
from infra.partitions import PLATFORM
from infra.payments import MANUAL, Order, PaymentProvider
from infra.position import format_position
from infra.security.principal import Role
from infra.webhooks.signature import BadSignature, verify
from infra.writer.submission import Outcome, Refused, Submission

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


class WriteOffBody(NotedBody):
    """`amount`: all that is owed where none is given."""

    amount: Amount | None = None


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
    purchase: Purchase = (await call.services.current(call.org, stream)).states[stream]
    if purchase.started is None:
        raise refused(Refused.of(NoSuchPurchase(call.id)))
    return purchase, purchase.started


async def _paid(call: Call, _body: Any, _outcome: Outcome) -> Answer:
    return {"purchase_id": call.id, "status": "completed"}


async def _cancelled(call: Call, _body: Any, _outcome: Outcome) -> Answer:
    return {"purchase_id": call.id, "status": CANCELLED}


@command("POST /api/v1/purchases/{id}/paid", May.MANAGE_CREDITS, SettledPurchaseAnswer, look=_to_pay, tell=_paid)
def mark_purchase_paid(call: Call, _body: MarkPaidBody, _sealed: str | None) -> Any:
    """Say that a purchase on invoice is paid, and deliver it once."""
    return call.found.expected


@command(
    "POST /api/v1/purchases/{id}/cancel",
    May.BUY,
    SettledPurchaseAnswer,
    look=_to_cancel,
    tell=_cancelled,
    free=lambda _body: True,
)
def cancel_purchase(call: Call, _body: NoBody, _sealed: str | None) -> Any:
    """Give up a purchase that is not paid."""
    return FailPurchase(purchase_id=call.id, reason=CANCELLED)


@command(
    "POST /api/v1/accounts/{address}/shortfall/write-off", May.MANAGE_CREDITS, WriteOffAnswer, event=ShortfallWrittenOff
)
def write_off_shortfall(call: Call, body: WriteOffBody, sealed: str | None) -> Any:
    """Give up what an account owes."""
    return WriteOffShortfall(address=call.address, amount=body.amount, sealed=sealed)


SHOWN_OF_PURCHASES = """id, user_id, provider, status, price, currency, package, address as account, plan, billing,
    payment_ref, reason, created_at, created_position, ended_at, position"""
_LIST = f"""
    select {SHOWN_OF_PURCHASES} from read.purchases
    where org = %(org)s and created_position < %(before)s
      and (%(user)s::text is null or user_id = %(user)s) and (%(status)s::text is null or status = %(status)s)
    order by created_position desc limit %(limit)s"""


@endpoint("GET /api/v1/purchases", May.READ_CREDITS, page_of(PurchaseRow))
async def list_purchases(
    call: Call,
    page: Page,
    user_id: UserId = None,
    status: Literal["pending", "completed", "failed"] | None = None,
) -> dict[str, Any]:
    """Purchases, newest first."""
    user = seen_user(call, user_id)
    pages = await page.of(call, "purchases", user or "", status or "")
    rows = await pages.rows(_LIST, {"before": LAST}, user=user, status=status)
    return pages.page(rows, ["created_position"], shown_purchase)


def shown_purchase(row: Row) -> dict[str, Any]:
    """A row of `read.purchases` as it is answered."""
    row.pop("created_position")
    answer = {"purchase_id": row.pop("id"), **row}
    answer["price"] = shown_money(Paid(answer["price"], answer.pop("currency")))
    package = answer["package"]
    if package is not None:  # its price is the purchase's
        answer["package"] = {name: package[name] for name in ("id", "name", "unit", "amount")}
    answer["position"] = format_position(answer["position"])
    return answer


async def paid(services: Services, org: str, purchase_id: str, payment_ref: str, money: Paid, provider: str) -> Outcome:
    """Deliver a purchase that its provider says is paid. A provider may report a payment several times.

    Raises Problem (503).
    """
    command = CompletePurchase(purchase_id=purchase_id, payment_ref=payment_ref, paid=money)
    actor = f"payments:{provider}"
    # Its own key, so that a repetition finds the first outcome; a refusal may come right later.
    key = f"{purchase_id}/{payment_ref}/{money.amount}{money.currency}"
    item = Submission(org=org, command=command, actor=actor, caller=actor, key=key, keep_refusals=False)
    return await execute(services, item)


@endpoint("POST /api/v1/purchases", May.BUY, PurchaseAnswer, status=201)
async def create_purchase(call: Call, body: PurchaseBody) -> Json:
    """Buy a package or a plan."""
    provider = call.services.payments
    if provider is None:
        raise Problem(409, "payments_not_configured", "Nothing can be bought: this deployment has no payment provider.")
    call.services.free_writes.check(call.principal, call.org)
    command = start_command(call, body, provider.name, await _unit_of(call, body))
    outcome = await execute(call.services, call.submission(command))
    count_free(call, outcome, free=True)  # it is paid for later, or never
    if outcome.refusal is not None:
        call.services.metrics.refused("create_purchase", outcome.refusal.code)
        raise refused(outcome.refusal)
    event = outcome.one(PurchaseStarted)
    url = provider.checkout_url(Order(call.org, event.purchase_id, event.price.amount, event.price.currency))
    answer = {
        **started(event),
        "price": shown_money(event.price),
        "status": "pending",
        "checkout_url": url,
        "position": format_position(outcome.position),
    }
    return Json(answer, status_code=201, headers=REPLAYED if outcome.replayed else None)


async def _unit_of(call: Call, body: PurchaseBody) -> str | None:
    """The unit of the package that a user buys without naming an account; plan tokens would be the organisation's."""
    if call.principal.role is not Role.USER or body.package is None or body.account is not None:
        return None
    now = await call.services.current(PLATFORM, STREAM)
    catalogue: Catalogue = now.states[STREAM]
    return next((each.unit for each in catalogue.packages if each.id == body.package), None)


class PaymentBody(BaseModel):
    """`status` paid delivers the purchase, once; failed gives it up. `payment_id` is the provider's own.

    What a provider sends besides is not looked at.
    """

    model_config = ConfigDict(strict=True, extra="ignore")
    organisation: Id
    purchase_id: Id
    payment_id: Id | None = None
    status: Literal["paid", "failed"]
    price: Price | None = None
    reason: Name = "declined"


class PaymentAnswer(BaseModel):
    """What became of the purchase."""

    purchase_id: str
    status: str
    position: str


_BODY: TypeAdapter[PaymentBody] = TypeAdapter(PaymentBody)


@endpoint("POST /api/v1/payments/{provider}/webhook", May.ANYBODY, PaymentAnswer, body=PaymentBody)
async def payment_webhook(request: Request, provider: str) -> dict[str, Any]:
    """A payment provider says that a purchase is paid, or will not be.

    Raises Problem: 401 for a bad signature, 404 for an unknown purchase or provider, 409, 422, 503.
    """
    services, scope = services_of(request), request.scope
    raw = await receive_body(request.receive, read_head(scope))
    payments = services.payments
    if payments is None or not payments.secrets or provider != payments.name:
        raise Problem(404, "not_found", "There is no such payment provider.")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    now = int((await services.now()).timestamp())
    try:
        verify(payments.secrets, headers, raw, now)
    except BadSignature as bad:
        failed(services, scope)
        raise Problem(401, "bad_signature", f"The signature does not hold: {bad}.") from None
    try:
        body = _BODY.validate_python(strict_json(raw))
    except ValidationError as error:
        first = as_json(error)
        field = ".".join(str(part) for part in first["loc"])
        raise Problem(422, "invalid_value", f"{field}: {first['msg']}.", field=field) from None
    if body.status == "failed":
        return _payment_answer(body, await _given_up(services, body, payments), "failed")
    if body.payment_id is None or body.price is None:
        raise Problem(422, "missing_field", "payment_id and price are needed for what is paid.", field="payment_id")
    done = await paid(services, body.organisation, body.purchase_id, body.payment_id, body.price.paid, payments.name)
    return _payment_answer(body, done, "completed")


async def _given_up(services: Services, body: PaymentBody, provider: PaymentProvider) -> Outcome:
    actor = f"payments:{provider.name}"
    command = FailPurchase(purchase_id=body.purchase_id, reason=body.reason)
    return await execute(services, Submission(org=body.organisation, command=command, actor=actor, caller=actor))


def _payment_answer(body: PaymentBody, outcome: Outcome, status: str) -> dict[str, Any]:
    if outcome.refusal is not None:
        problem = refused(outcome.refusal)
        if problem.code == PaymentMismatch.code:
            problem.status = 422  # the sum is a wrong value, whatever is retried
        raise problem
    return {"purchase_id": body.purchase_id, "status": status, "position": format_position(outcome.position)}
