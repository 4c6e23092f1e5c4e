"""What payment providers tell: no login, but a signature that only the provider can make."""

from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from api.commands.plans import Price, money_of
from api.current import database_time
from api.fields import Id, Name
from api.http.caller import failed, read_head
from api.http.command import execute
from api.http.endpoint import as_json, endpoint, receive_body, services_of
from api.http.policy import May
from api.problems import Problem, refused
from api.routes.purchases import paid
from api.services import Services
from api.strict_json import strict_json
from domain.plans.fail_purchase import FailPurchase
from domain.plans.refusals import PaymentMismatch
from infra.payments.provider import PaymentProvider
from infra.position import format_position
from infra.webhooks.signature import BadSignature, verify
from infra.writer.submission import Outcome, Submission


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
    now = int((await database_time(services)).timestamp())
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
        return _told(body, await _given_up(services, body, payments), "failed")
    if body.payment_id is None or body.price is None:
        raise Problem(422, "missing_field", "payment_id and price are needed for what is paid.", field="payment_id")
    price = money_of(body.price)
    done = await paid(services, body.organisation, body.purchase_id, body.payment_id, price, payments.name)
    return _told(body, done, "completed")


async def _given_up(services: Services, body: PaymentBody, provider: PaymentProvider) -> Outcome:
    actor = f"payments:{provider.name}"
    command = FailPurchase(purchase_id=body.purchase_id, reason=body.reason)
    return await execute(services, Submission(org=body.organisation, command=command, actor=actor, caller=actor))


def _told(body: PaymentBody, outcome: Outcome, status: str) -> dict[str, Any]:
    if outcome.refusal is not None:
        problem = refused(outcome.refusal)
        if problem.code == PaymentMismatch.code:
            problem.status = 422  # the sum is a wrong value, whatever is retried
        raise problem
    return {"purchase_id": body.purchase_id, "status": status, "position": format_position(outcome.position)}
