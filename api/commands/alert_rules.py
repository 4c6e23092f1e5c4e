"""When an organisation is alerted: which rules are on, and their thresholds."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, Field

from api.answers import Answer
from api.current import ask
from api.fields import Body, Name
from api.http.caller import Call, matched, tag_of
from api.http.command import command
from api.http.policy import May
from api.problems import invalid
from domain.organisations.configure import MAX_ALERT_RULES, ConfigureOrganisation, settings_of
from domain.organisations.events import OrganisationConfigured
from domain.organisations.now import OrganisationNow
from infra.alert_rules import MOST, RULES, Given, UnknownRule, differing, in_force
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
