"""Alerts that were raised, and the rules that raise them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.commands.alert_rules import AlertRulesAnswer, shown
from api.current import ask
from api.fields import Name, QueryDay, UserId
from api.if_match import tag_of
from api.operation import Call
from api.paging import CursorText, Limit
from api.reading import Json, cursors
from api.routing import ReadRoute, call_of
from api.schemas import page_of
from api.services import Services
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

CallNow = Annotated[Call, Depends(call_of)]


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


class _Alerts:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def list_alerts(
        self,
        call: CallNow,
        type: Annotated[str | None, Query(max_length=64, pattern=r"^[a-z_.]+$")] = None,  # noqa: A002 - its name outside
        rule: Name | None = None,
        severity: Literal["info", "warning", "critical"] | None = None,
        user_id: UserId = None,
        from_: Annotated[QueryDay | None, Query(alias="from")] = None,
        to: QueryDay | None = None,
        limit: Limit = 50,
        cursor: CursorText = None,
    ) -> Json:
        from_, to = await moments(self._services, call, from_, to)
        pages = cursors(self._services, call, "alerts")
        (before,) = pages.decode(cursor, int) if cursor else (None,)
        filters = {"type": type, "rule": rule, "severity": severity, "user": user_id, "from": from_, "to": to}
        rows = await self._services.rows(_LIST, {"org": call.org, "before": before, **filters, "limit": limit + 1})
        return Json(pages.page(rows, limit, lambda row: [row["id"]], lambda row: row))

    async def list_my_alerts(self, call: CallNow, limit: Limit = 50, cursor: CursorText = None) -> Json:
        user = call.principal.sub
        pages = cursors(self._services, call, "my-alerts", user)
        (before,) = pages.decode(cursor, int) if cursor else (None,)
        wanted = {"org": call.org, "user": user, "rules": list(OWN_RULES), "before": before, "limit": limit + 1}
        rows = await self._services.rows(_OWN, wanted)
        return Json(pages.page(rows, limit, lambda row: [row["id"]], lambda row: row))

    async def read_alert_rules(self, call: CallNow) -> Json:
        answered = await ask(self._services, call.org, OrganisationNow())
        organisation: Organisation = answered.value
        tag = tag_of(organisation.alert_rules)
        return Json(shown(organisation.alert_rules, answered.position), headers={"ETag": tag})


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    handlers = _Alerts(services)
    return [
        ReadRoute("/api/v1/alerts", handlers.list_alerts, services, "Alerts, newest first", page_of(AlertRow)),
        ReadRoute(
            "/api/v1/alerts/me",
            handlers.list_my_alerts,
            services,
            "Alerts about the caller's own credits, budget and generations, newest first",
            page_of(AlertRow),
        ),
        ReadRoute(
            "/api/v1/alert-rules",
            handlers.read_alert_rules,
            services,
            "The rules that raise alerts, and their thresholds",
            AlertRulesAnswer,
        ),
    ]
