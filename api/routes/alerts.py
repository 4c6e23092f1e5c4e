"""Alerts that were raised, and the rules that raise them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel

from api.commands.alert_rules import AlertRulesAnswer, shown
from api.current import ask
from api.fields import Name, QueryDay, UserId
from api.http.caller import Call, tag_of
from api.http.endpoint import endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.reading import Json, cursors
from api.schemas import page_of
from api.windows import moments
from domain.organisations.now import OrganisationNow
from domain.organisations.state import Organisation

_LIST = """
    select id, rule, type, severity, subject, user_id, message, data as facts, at from alerts
    where org = %(org)s
      and (%(before)s::bigint is null or id < %(before)s)
      and (%(type)s::text is null or type = %(type)s)
      and (%(rule)s::text is null or rule = %(rule)s)
      and (%(severity)s::text is null or severity = %(severity)s)
      and (%(user)s::text is null or user_id = %(user)s)
      and (%(from)s::timestamptz is null or at >= %(from)s)
      and (%(to)s::timestamptz is null or at < %(to)s)
    order by id desc limit %(limit)s"""

# What concerns a person's own money and work; that somebody is watched for unusual use is not for themselves to read.
OWN_RULES = (
    *("budget", "credits_low", "credits_exhausted", "credits_expiring"),
    *("generation_expired", "generation_exhausted", "purchase_completed"),
)
_OWN = """
    select id, rule, type, severity, subject, user_id, message, data as facts, at from alerts
    where org = %(org)s and user_id = %(user)s and rule = any(%(rules)s)
      and (%(before)s::bigint is null or id < %(before)s)
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
    type: Annotated[str | None, Query(max_length=64, pattern=r"^[a-z_.]+$")] = None,
    rule: Name | None = None,
    severity: Literal["info", "warning", "critical"] | None = None,
    user_id: UserId = None,
    from_: Annotated[QueryDay | None, Query(alias="from")] = None,
    to: QueryDay | None = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Json:
    """Alerts, newest first."""
    from_, to = await moments(call, from_, to)
    pages = cursors(call, "alerts")
    (before,) = pages.decode(cursor, int) if cursor else (None,)
    filters = {"type": type, "rule": rule, "severity": severity, "user": user_id, "from": from_, "to": to}
    rows = await call.services.rows(_LIST, {"org": call.org, "before": before, **filters, "limit": limit + 1})
    return Json(pages.page(rows, limit, lambda row: [row["id"]], lambda row: row))


@endpoint("GET /api/v1/alerts/me", May.READ_CREDITS, page_of(AlertRow))
async def list_my_alerts(call: Call, limit: Limit = 50, cursor: CursorText = None) -> Json:
    """Alerts about the caller's own credits, budget and generations, newest first."""
    user = call.principal.sub
    pages = cursors(call, "my-alerts", user)
    (before,) = pages.decode(cursor, int) if cursor else (None,)
    wanted = {"org": call.org, "user": user, "rules": list(OWN_RULES), "before": before, "limit": limit + 1}
    rows = await call.services.rows(_OWN, wanted)
    return Json(pages.page(rows, limit, lambda row: [row["id"]], lambda row: row))


@endpoint("GET /api/v1/alert-rules", May.MANAGE_ALERTS, AlertRulesAnswer)
async def read_alert_rules(call: Call) -> Json:
    """The rules that raise alerts, and their thresholds."""
    answered = await ask(call.services, call.org, OrganisationNow())
    organisation: Organisation = answered.value
    tag = tag_of(organisation.alert_rules)
    return Json(shown(organisation.alert_rules, answered.position), headers={"ETag": tag})
