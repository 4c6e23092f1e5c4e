"""Where an organisation wants its alerts delivered, what became of each delivery, and another try."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from api.fields import Body, Label
from api.operation import Call
from api.paging import CursorText, Limit
from api.pipeline import fingerprint, key_reused
from api.problems import Problem, invalid, limit_reached, not_found
from api.reading import Json, cursors
from api.routing import BodyRoute, Given, ReadRoute, call_of
from api.schemas import page_of
from api.services import Services
from infra.alert_rules import TYPES
from infra.webhooks.destination import MAX_URL, Forbidden, read_url
from infra.webhooks.secret import WebhookSecrets
from infra.webhooks.store import (
    MAX_RESENDS,
    MAX_WEBHOOKS,
    SHOWN,
    TooManyResends,
    TooManyWebhooks,
    Webhooks,
    WebhookTaken,
)

PATH = "/api/v1/webhooks"
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

CallNow = Annotated[Call, Depends(call_of)]
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


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def list_webhooks(call: CallNow, limit: Limit = 50, cursor: CursorText = None) -> Json:
        pages = cursors(services, call, "webhooks")
        at, id_ = pages.decode(cursor, datetime, str) if cursor else (None, "")
        rows = await services.rows(_LIST, {"org": call.org, "at": at, "id": id_, "limit": limit + 1})
        return Json(pages.page(rows, limit, lambda row: [row["created_at"], row["id"]], lambda row: row))

    async def delete_webhook(id: str, call: CallNow) -> Response:  # noqa: A002 - its name in the path
        if not await _webhooks(services).delete(call.org, id):
            raise not_found("webhook", id)
        return Response(status_code=204)

    async def list_deliveries(
        id: str,  # noqa: A002 - its name in the path
        call: CallNow,
        status: Literal["pending", "delivered", "failed"] | None = None,
        limit: Limit = 50,
        cursor: CursorText = None,
    ) -> Json:
        if not await services.rows(_KNOWN, {"org": call.org, "webhook": id}):
            raise not_found("webhook", id)
        pages = cursors(services, call, "deliveries", id)
        at, last = pages.decode(cursor, datetime, str) if cursor else (None, "")
        asked = {"org": call.org, "webhook": id, "status": status, "at": at, "id": last, "limit": limit + 1}
        rows = await services.rows(_DELIVERIES, asked)
        return Json(pages.page(rows, limit, lambda row: [row["created_at"], row["id"]], lambda row: row))

    one = PATH + "/{id}"
    return [
        ReadRoute(PATH, list_webhooks, services, "The organisation's webhooks", page_of(WebhookRow)),
        BodyRoute(
            PATH, _create_webhook, services, "Have alerts delivered to a URL", WebhookBody, WebhookMade, status=201
        ),
        BodyRoute(
            one, _change_webhook, services, "Change a webhook", WebhookChange, WebhookRow, keyed=False, method="PATCH"
        ),
        ReadRoute(one, delete_webhook, services, "Forget a webhook and its deliveries", status=204, method="DELETE"),
        ReadRoute(
            f"{one}/deliveries",
            list_deliveries,
            services,
            "What was delivered to a webhook, newest first",
            page_of(DeliveryRow),
        ),
        BodyRoute(
            f"{one}/resend",
            _resend_delivery,
            services,
            "Deliver an alert once more",
            ResendBody,
            ResendAnswer,
            status=202,
        ),
    ]


def _webhooks(services: Services) -> Webhooks:
    return Webhooks(services.database.writes, WebhookSecrets(services.fingerprint_secret))


async def _create_webhook(given: Given) -> tuple[dict[str, Any], dict[str, str]]:
    services, call, body = given.services, given.call, given.body
    _check(services, body.url, body.types)
    idempotency = None
    if given.key is not None:
        idempotency = (given.key, fingerprint(services, "POST", given.path, given.canonical))
    try:
        row, secret, replayed = await _webhooks(services).create(
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
    return {**row, "secret": secret}, {"Idempotency-Replayed": "true"} if replayed else {}


async def _change_webhook(given: Given) -> tuple[dict[str, Any], None]:
    services, call, body = given.services, given.call, given.body
    _check(services, body.url, body.types)
    row = await _webhooks(services).change(
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
    return row, None


async def _resend_delivery(given: Given) -> tuple[dict[str, Any], None]:
    call = given.call
    try:
        new = await _webhooks(given.services).resend(
            call.org, call.id, given.body.delivery_id, by=call.principal.actor, key=given.key
        )
    except TooManyResends:
        detail = f"A webhook may have {MAX_RESENDS} resends that are not delivered yet."
        raise limit_reached("too_many_resends", detail, MAX_RESENDS, RESENDS_RETRY_AFTER_S) from None
    if new is None:
        raise not_found("delivery", given.body.delivery_id)
    return {"delivery_id": new}, None


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
