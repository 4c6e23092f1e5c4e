"""Alerts, the rules that raise them, and the webhooks that they are delivered to."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from api.http.caller import Call, matched, tag_of
from api.http.command import command, key_reused
from api.http.endpoint import REPLAYED, Answer, endpoint
from api.http.fields import Body, Label, Name, QueryDay, UserId
from api.http.lists import LAST, Json, Page, moments, page_of
from api.http.policy import May
from api.http.problems import Problem, invalid, limit_reached, not_found
from api.http.services import Services
from domain.organisations.commands import MAX_ALERT_RULES, ConfigureOrganisation, settings_of
from domain.organisations.events import OrganisationConfigured
from domain.organisations.now import OrganisationNow
from domain.organisations.state import Organisation
from infra.alerts import MOST, RULES, TYPES, Given, UnknownRule, differing, in_force
from infra.position import format_position
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
from infra.writer.submission import Outcome

Rule = dict[Name, bool | Annotated[int, Field(ge=0, le=MOST)]]


class AlertRulesBody(Body):
    """By rule its thresholds and `enabled`; what is not named is as by default. GET lists all with their bounds."""

    rules: Annotated[
        dict[Name, Rule],
        Field(max_length=MAX_ALERT_RULES, examples=[{"budget": {"warning": 60}, "usage_spike": {"enabled": False}}]),
    ]


class AlertRuleRow(BaseModel):
    """A rule as it is in force. `defaults` and `bounds` are by threshold; `about` says when it is crossed."""

    type: str
    about: str
    enabled: bool
    thresholds: dict[str, int]
    defaults: dict[str, int]
    bounds: dict[str, tuple[int, int]]


class AlertRulesAnswer(BaseModel):
    """All rules by name. A changed threshold counts from the next movement of what it is about."""

    rules: dict[str, AlertRuleRow]
    position: str


def shown(given: Given, position: int) -> Answer:
    """All rules as they are with an organisation's own thresholds."""
    now = in_force(given)
    rules = {
        name: {
            "type": rule.type,
            "about": rule.about,
            "enabled": now[name]["enabled"],
            "thresholds": {key: now[name][key] for key in rule.thresholds},
            "defaults": {key: threshold.default for key, threshold in rule.thresholds.items()},
            "bounds": {key: (threshold.least, threshold.most) for key, threshold in rule.thresholds.items()},
        }
        for name, rule in RULES.items()
    }
    return {"rules": rules, "position": format_position(position)}


def _wanted(body: AlertRulesBody) -> dict[str, dict[str, int | bool]]:
    try:
        return differing(body.rules)
    except UnknownRule as error:
        raise invalid(error.field, error.reason) from None


async def _look(call: Call, _body: Any) -> Call:
    """The settings as they are, for a caller who overwrites only the rules that it has read. Raises Problem (412)."""
    if call.if_match is None:
        return call
    settings = settings_of((await call.ask(OrganisationNow())).value)
    matched(call, "alert rules", tag_of(settings.alert_rules))
    return replace(call, found=call.found._replace(expected=settings))


def _configured(outcome: Outcome) -> Answer:
    return shown(outcome.one(OrganisationConfigured).alert_rules, outcome.position)


@command(
    "PUT /api/v1/alert-rules",
    May.MANAGE_ALERTS,
    AlertRulesAnswer,
    answer=_configured,
    check=lambda _call, body: _wanted(body),
    look=_look,
)
def set_alert_rules(call: Call, body: AlertRulesBody, _sealed: str | None) -> Any:
    """Set when the organisation is alerted."""
    return ConfigureOrganisation(alert_rules=_wanted(body), expected=call.found.expected)


_LIST = """
    select id, rule, type, severity, subject, user_id, message, data as facts, at from alerts
    where org = %(org)s and id < %(before)s
      and (%(type)s::text is null or type = %(type)s)
      and (%(rule)s::text is null or rule = %(rule)s)
      and (%(severity)s::text is null or severity = %(severity)s)
      and (%(user)s::text is null or user_id = %(user)s)
      and (%(from)s::timestamptz is null or at >= %(from)s)
      and (%(to)s::timestamptz is null or at < %(to)s)
    order by id desc limit %(limit)s"""

# Rules about a user's own money and work. Alerts about unusual use are not for the user who is watched.
OWN_RULES = (
    *("budget", "credits_low", "credits_exhausted", "credits_expiring"),
    *("generation_expired", "generation_exhausted", "purchase_completed"),
)
_OWN = """
    select id, rule, type, severity, subject, user_id, message, data as facts, at from alerts
    where org = %(org)s and user_id = %(user)s and rule = any(%(rules)s) and id < %(before)s
    order by id desc limit %(limit)s"""


class AlertRow(BaseModel):
    """A crossing of a rule. `facts` are its numbers, `message` says the same to people."""

    id: int
    rule: str
    type: str
    severity: Literal["info", "warning", "critical"]
    subject: str
    user_id: str | None = None
    message: str
    facts: dict[str, Any]
    at: datetime


@endpoint("GET /api/v1/alerts", May.READ_EVENTS, page_of(AlertRow))
async def list_alerts(
    call: Call,
    page: Page,
    type: Annotated[str | None, Query(max_length=64, pattern=r"^[a-z_.]+$")] = None,
    rule: Name | None = None,
    severity: Literal["info", "warning", "critical"] | None = None,
    user_id: UserId = None,
    from_: Annotated[QueryDay | None, Query(alias="from")] = None,
    to: QueryDay | None = None,
) -> dict[str, Any]:
    """Alerts, newest first."""
    from_, to = await moments(call, from_, to)
    pages = page.cursors(call, "alerts")
    wanted = {"type": type, "rule": rule, "severity": severity, "user": user_id, "from": from_, "to": to}
    return pages.page(await pages.rows(_LIST, {"before": LAST}, **wanted), ["id"])


@endpoint("GET /api/v1/alerts/me", May.READ_CREDITS, page_of(AlertRow))
async def list_my_alerts(call: Call, page: Page) -> dict[str, Any]:
    """Alerts about the caller's own credits, budget and generations, newest first."""
    user = call.principal.sub
    pages = page.cursors(call, "my-alerts", user)
    rows = await pages.rows(_OWN, {"before": LAST}, user=user, rules=list(OWN_RULES))
    return pages.page(rows, ["id"])


@endpoint("GET /api/v1/alert-rules", May.MANAGE_ALERTS, AlertRulesAnswer)
async def read_alert_rules(call: Call) -> Json:
    """The rules that raise alerts, and their thresholds."""
    answered = await call.ask(OrganisationNow())
    organisation: Organisation = answered.value
    tag = tag_of(organisation.alert_rules)
    return Json(shown(organisation.alert_rules, answered.position), headers={"ETag": tag})


RESENDS_RETRY_AFTER_S = 60
_WEBHOOKS = f"""
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
    rows = await call.rows(_WEBHOOKS, at=at, id=id_, limit=pages.more)
    return pages.page(rows, ["created_at", "id"])


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
    if not await call.rows(_KNOWN, webhook=id):
        raise not_found("webhook", id)
    pages = page.cursors(call, "deliveries", id)
    at, last = pages.given(datetime, str) or (None, "")
    rows = await call.rows(_DELIVERIES, webhook=id, status=status, at=at, id=last, limit=pages.more)
    return pages.page(rows, ["created_at", "id"])


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
