"""Alerts, and the rules that raise them."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from api.http.caller import Call, matched, tag_of
from api.http.command import command
from api.http.current import ask
from api.http.endpoint import Answer, endpoint
from api.http.fields import Body, Name, QueryDay, UserId
from api.http.lists import Json, Page, moments, page_of
from api.http.policy import May
from api.http.problems import invalid
from domain.organisations.configure import MAX_ALERT_RULES, ConfigureOrganisation, settings_of
from domain.organisations.events import OrganisationConfigured
from domain.organisations.now import OrganisationNow
from domain.organisations.state import Organisation
from infra.alerts import MOST, RULES, Given, UnknownRule, differing, in_force
from infra.position import format_position
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
    settings = settings_of((await ask(call.services, call.org, OrganisationNow())).value)
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
    (before,) = pages.given(int) or (None,)
    filters = {"type": type, "rule": rule, "severity": severity, "user": user_id, "from": from_, "to": to}
    rows = await call.services.rows(_LIST, {"org": call.org, "before": before, **filters, "limit": pages.more})
    return pages.page(rows, lambda row: [row["id"]])


@endpoint("GET /api/v1/alerts/me", May.READ_CREDITS, page_of(AlertRow))
async def list_my_alerts(call: Call, page: Page) -> dict[str, Any]:
    """Alerts about the caller's own credits, budget and generations, newest first."""
    user = call.principal.sub
    pages = page.cursors(call, "my-alerts", user)
    (before,) = pages.given(int) or (None,)
    wanted = {"org": call.org, "user": user, "rules": list(OWN_RULES), "before": before, "limit": pages.more}
    rows = await call.services.rows(_OWN, wanted)
    return pages.page(rows, lambda row: [row["id"]])


@endpoint("GET /api/v1/alert-rules", May.MANAGE_ALERTS, AlertRulesAnswer)
async def read_alert_rules(call: Call) -> Json:
    """The rules that raise alerts, and their thresholds."""
    answered = await ask(call.services, call.org, OrganisationNow())
    organisation: Organisation = answered.value
    tag = tag_of(organisation.alert_rules)
    return Json(shown(organisation.alert_rules, answered.position), headers={"ETag": tag})
