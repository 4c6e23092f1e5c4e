"""Where an organisation wants its alerts delivered, what became of each delivery, and another try."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from api.http.caller import Call
from api.http.command import key_reused
from api.http.endpoint import REPLAYED, endpoint
from api.http.fields import Body, Label
from api.http.lists import Json, Page, page_of
from api.http.policy import May
from api.http.problems import Problem, invalid, limit_reached, not_found
from api.http.services import Services
from infra.alerts import TYPES
from infra.webhooks.sending import MAX_URL, Forbidden, read_url
from infra.webhooks.signature import WebhookSecrets
from infra.webhooks.store import (
    MAX_RESENDS,
    MAX_WEBHOOKS,
    SHOWN,
    TooManyResends,
    TooManyWebhooks,
    Webhooks,
    WebhookTaken,
)

RESENDS_RETRY_AFTER_S = 60
_LIST = f"""
    select {SHOWN} from webhooks
    where org = %(org)s and (%(at)s::timestamptz is null or (created_at, id) > (%(at)s, %(id)s))
    order by created_at, id limit %(limit)s"""
_KNOWN = "select 1 from webhooks where org = %(org)s and id = %(webhook)s"
_DELIVERIES = """
    select d.id, a.type, d.alert_id, d.status, d.attempts, d.status_code, d.error, d.resend_of, d.created_at, d.at,
        case when d.status = 'pending' then d.next_at end as next_at, d.tries
    from deliveries d join alerts a on a.id = d.alert_id
    where d.org = %(org)s and d.webhook_id = %(webhook)s and (%(status)s::text is null or d.status = %(status)s)
      and (%(at)s::timestamptz is null or (d.created_at, d.id) < (%(at)s, %(id)s))
    order by d.created_at desc, d.id desc limit %(limit)s"""

Url = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL), Field(examples=["https://example.com/hook"])]
Types = Annotated[
    list[str],
    Field(min_length=1, max_length=len(TYPES), description="Types of alerts; none for all.", examples=[[TYPES[0]]]),
]


class WebhookBody(Body):
    """`url`: https, and on the public internet."""

    url: Url
    types: Types | None = None
    description: Label | None = None
    enabled: bool = True


class WebhookChange(Body):
    """What is not named stays; `types` null for all of them. Switching it on again forgets earlier failures."""

    url: Url | None = None
    types: Types | None = None
    description: Label | None = None
    enabled: bool | None = None


class WebhookRow(BaseModel):
    """A webhook. `failing_since`: the first failure after the last success; after three days it is switched off."""

    id: str
    url: str
    types: list[str] | None = None
    description: str
    enabled: bool
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    created_by: str
    created_at: datetime
    updated_at: datetime


class WebhookMade(WebhookRow):
    """`secret` signs the messages (Standard Webhooks); it is shown now and never again."""

    secret: str


class DeliveryRow(BaseModel):
    """An alert on its way to a webhook. `tries`: when, with which status code or error, and how long it took (ms)."""

    id: str
    type: str
    alert_id: int
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    status_code: int | None = None
    error: str | None = None
    resend_of: str | None = None
    created_at: datetime
    at: datetime | None = None
    next_at: datetime | None = None
    tries: list[dict[str, Any]]


class ResendBody(Body):
    """Which delivery."""

    delivery_id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.]{1,64}$")]


class ResendAnswer(BaseModel):
    """The new delivery; its message keeps its `webhook-id`."""

    delivery_id: str


@endpoint("GET /api/v1/webhooks", May.MANAGE_ALERTS, page_of(WebhookRow))
async def list_webhooks(call: Call, page: Page) -> dict[str, Any]:
    """The organisation's webhooks."""
    pages = page.cursors(call, "webhooks")
    at, id_ = pages.given(datetime, str) or (None, "")
    rows = await call.services.rows(_LIST, {"org": call.org, "at": at, "id": id_, "limit": pages.more})
    return pages.page(rows, lambda row: [row["created_at"], row["id"]])


@endpoint("DELETE /api/v1/webhooks/{id}", May.MANAGE_ALERTS, status=204)
async def delete_webhook(call: Call, id: str) -> Response:
    """Forget a webhook and its deliveries."""
    if not await _webhooks(call.services).delete(call.org, id):
        raise not_found("webhook", id)
    return Response(status_code=204)


@endpoint("GET /api/v1/webhooks/{id}/deliveries", May.MANAGE_ALERTS, page_of(DeliveryRow))
async def list_deliveries(
    call: Call,
    page: Page,
    id: str,
    status: Literal["pending", "delivered", "failed"] | None = None,
) -> dict[str, Any]:
    """What was delivered to a webhook, newest first."""
    if not await call.services.rows(_KNOWN, {"org": call.org, "webhook": id}):
        raise not_found("webhook", id)
    pages = page.cursors(call, "deliveries", id)
    at, last = pages.given(datetime, str) or (None, "")
    asked = {"org": call.org, "webhook": id, "status": status, "at": at, "id": last, "limit": pages.more}
    rows = await call.services.rows(_DELIVERIES, asked)
    return pages.page(rows, lambda row: [row["created_at"], row["id"]])


def _webhooks(services: Services) -> Webhooks:
    return Webhooks(services.database.writes, WebhookSecrets(services.fingerprint_secret))


@endpoint("POST /api/v1/webhooks", May.MANAGE_ALERTS, WebhookMade, status=201)
async def create_webhook(call: Call, body: WebhookBody) -> Json:
    """Have alerts delivered to a URL."""
    _check(call.services, body.url, body.types)
    idempotency = (call.key, call.fingerprint) if call.key is not None else None
    try:
        row, secret, replayed = await _webhooks(call.services).create(
            call.org,
            body.url,
            body.types,
            by=call.principal.actor,
            description=body.description or "",
            enabled=body.enabled,
            idempotency=idempotency,
        )
    except WebhookTaken:
        raise key_reused() from None
    except TooManyWebhooks:
        raise Problem(
            409, "too_many_webhooks", f"An organisation may have {MAX_WEBHOOKS} webhooks.", limit=MAX_WEBHOOKS
        ) from None
    return Json({**row, "secret": secret}, status_code=201, headers=REPLAYED if replayed else None)


@endpoint("PATCH /api/v1/webhooks/{id}", May.MANAGE_ALERTS, WebhookRow, keyed=False)
async def change_webhook(call: Call, body: WebhookChange) -> dict[str, Any]:
    """Change a webhook."""
    _check(call.services, body.url, body.types)
    row = await _webhooks(call.services).change(
        call.org,
        call.id,
        url=body.url,
        types=body.types,
        all_types="types" in body.model_fields_set and body.types is None,
        description=body.description,
        enabled=body.enabled,
    )
    if row is None:
        raise not_found("webhook", call.id)
    return row


@endpoint("POST /api/v1/webhooks/{id}/resend", May.MANAGE_ALERTS, ResendAnswer, status=202)
async def resend_delivery(call: Call, body: ResendBody) -> dict[str, Any]:
    """Deliver an alert once more."""
    try:
        new = await _webhooks(call.services).resend(
            call.org, call.id, body.delivery_id, by=call.principal.actor, key=call.key
        )
    except TooManyResends:
        detail = f"A webhook may have {MAX_RESENDS} resends that are not delivered yet."
        raise limit_reached("too_many_resends", detail, MAX_RESENDS, RESENDS_RETRY_AFTER_S) from None
    if new is None:
        raise not_found("delivery", body.delivery_id)
    return {"delivery_id": new}


def _check(services: Services, url: str | None, types: list[str] | None) -> None:
    """Raises Problem (422) for a URL that no message may go to, and for unknown types."""
    if url is not None:
        try:
            read_url(url, allow_private=services.settings.webhooks_allow_private)
        except Forbidden as error:
            raise Problem(422, "invalid_value", f"url: {error}.", field="url") from None
    unknown = [each for each in types or () if each not in TYPES]
    if unknown:
        raise invalid("types", f"must be among {', '.join(TYPES)}", allowed=list(TYPES))
