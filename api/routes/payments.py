"""What payment providers tell: no login, but a signature that only the provider can make."""

from typing import Any, Literal

import msgspec
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from api.commands.plans import Price, money_of
from api.current import database_time
from api.database import UNREACHABLE
from api.fields import Id, Name
from api.guard import is_open, read_head
from api.guesses import failed
from api.pipeline import execute, receive_body
from api.problems import Problem, away, refused
from api.routes.purchases import paid
from api.routing import JSON, send_bytes, send_problem
from api.schemas import PROBLEMS
from api.services import Services
from api.strict_json import strict_json
from domain.plans.fail_purchase import FailPurchase
from domain.plans.refusals import PaymentMismatch
from infra.payments.provider import PaymentProvider
from infra.position import format_position
from infra.webhooks.signature import BadSignature, verify
from infra.writer.submission import Outcome, Submission

OPERATION = "payment_webhook"
PATH = "/api/v1/payments/{provider}/webhook"


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


class SignedRoute(APIRoute):
    """A POST that is let in by its signature."""

    def __init__(self, services: Services) -> None:
        async def payment_webhook(provider: str, body: PaymentBody) -> None:
            raise AssertionError(f"{provider} does not go through FastAPI: {body}")

        super().__init__(
            PATH,
            payment_webhook,
            methods=["POST"],
            name=OPERATION,
            operation_id=OPERATION,
            summary="A payment provider says that a purchase is paid, or will not be",
            response_model=PaymentAnswer,
            responses=PROBLEMS,
            openapi_extra={"security": []},
        )
        if not is_open(OPERATION):
            raise AssertionError(f"{OPERATION} needs a login by the policy")
        self.app = _app(services)


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    return [SignedRoute(services)]


def _app(services: Services) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            told = await _received(services, scope, await receive_body(receive, read_head(scope)))
        except Problem as problem:
            await send_problem(send, problem)
        except UNREACHABLE as error:
            await send_problem(send, away(error))
        else:
            await send_bytes(send, 200, msgspec.json.encode(told), JSON)

    return app


async def _received(services: Services, scope: Any, raw: bytes) -> dict[str, Any]:
    """Raises Problem: 401 for a bad signature, 404 for an unknown purchase or provider, 409, 422, 503."""
    provider = services.payments
    if provider is None or not provider.secrets or scope["path_params"]["provider"] != provider.name:
        raise Problem(404, "not_found", "There is no such payment provider.")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    now = int((await database_time(services)).timestamp())
    try:
        verify(provider.secrets, headers, raw, now)
    except BadSignature as bad:
        failed(services, scope)
        raise Problem(401, "bad_signature", f"The signature does not hold: {bad}.") from None
    strict_json(raw)
    try:
        body = _BODY.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Problem(422, "invalid_value", f"{field}: {first['msg']}.", field=field) from None
    if body.status == "failed":
        return _told(body, await _given_up(services, body, provider), "failed")
    if body.payment_id is None or body.price is None:
        raise Problem(422, "missing_field", "payment_id and price are needed for what is paid.", field="payment_id")
    price = money_of(body.price)
    done = await paid(services, body.organisation, body.purchase_id, body.payment_id, price, provider.name)
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
