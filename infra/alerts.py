"""The table of alert rules, with the thresholds that may be changed, and raising alerts by them.

Each crossing is raised once, and in the same transaction what is to be delivered of it is written.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

ENABLED = "enabled"
MOST = 10**12


class Threshold(NamedTuple):
    """A figure that an organisation may change, within bounds, both inclusive."""

    default: int
    least: int
    most: int


class AlertRule(NamedTuple):
    """When an alert is raised. `type` is that of the notification (contract); every rule can be switched off."""

    name: str
    type: str
    about: str
    thresholds: Mapping[str, Threshold]


class UnknownRule(ValueError):
    """A rule or threshold that there is not, or a figure outside its bounds: `field` says which, `reason` why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field, self.reason = field, reason


_PERCENT = {"warning": Threshold(75, 1, 100), "critical": Threshold(90, 1, 100)}

_RULES = (
    AlertRule("budget", "scrip.budget.threshold", "A user's monthly budget is used up to so many percent.", _PERCENT),
    AlertRule("group", "scrip.group.threshold", "A limit of a group is used up to so many percent.", _PERCENT),
    AlertRule(
        "plan_tokens",
        "scrip.tokens.threshold",
        "Of the tokens that the plan gives for a cycle, so many percent are used.",
        {"percent": Threshold(80, 1, 100)},
    ),
    AlertRule(
        "credits_low",
        "scrip.credits.low",
        "Less is left than so many percent of what was granted last, or than an amount.",
        {"percent": Threshold(20, 0, 100), "amount": Threshold(0, 0, MOST)},
    ),
    AlertRule("credits_exhausted", "scrip.credits.exhausted", "Nothing is left of what was granted.", {}),
    AlertRule(
        "credits_expiring",
        "scrip.credits.expiring",
        "A grant with something left expires within so many days; a plan's own are renewed instead.",
        {"days": Threshold(7, 1, 90)},
    ),
    AlertRule(
        "rapid_requests",
        "scrip.usage.unusual",
        "A user asked for more than so many generations, or used plan tokens more often, within so many seconds;"
        " sent once an hour.",
        {"generations": Threshold(30, 1, 1_000), "seconds": Threshold(60, 1, 3_600)},
    ),
    AlertRule(
        "refused_generations",
        "scrip.generation.refused",
        "So many generations of a user were refused within so many minutes; sent once an hour.",
        {"refusals": Threshold(5, 1, 1_000), "minutes": Threshold(10, 1, 1_440)},
    ),
    AlertRule(
        "refused_deductions",
        "scrip.usage.unusual",
        "So many deductions of plan tokens by a user were refused within so many minutes; sent once an hour.",
        {"refusals": Threshold(5, 1, 1_000), "minutes": Threshold(10, 1, 1_440)},
    ),
    AlertRule(
        "usage_spike",
        "scrip.usage.unusual",
        "Credits, or plan tokens, used today (UTC) are above so many times the average of the last 7 days, and above"
        " a floor.",
        {"times": Threshold(3, 2, 100), "floor": Threshold(1_000, 0, MOST), "token_floor": Threshold(50, 0, MOST)},
    ),
    AlertRule("generation_expired", "scrip.generation.expired", "A generation was never settled.", {}),
    AlertRule(
        "generation_exhausted",
        "scrip.generation.exhausted",
        "A generation took more than was held for it, and not all of that could be charged.",
        {},
    ),
    AlertRule("purchase_completed", "scrip.purchase.completed", "A purchase was paid and granted.", {}),
    AlertRule(
        "webhook_disabled", "scrip.webhook.disabled", "A webhook failed for days and is not called any more.", {}
    ),
)
RULES: Mapping[str, AlertRule] = {rule.name: rule for rule in _RULES}
TYPES = tuple(dict.fromkeys(rule.type for rule in _RULES))

Given = Mapping[str, Mapping[str, int | bool]]


def in_force(given: Given) -> dict[str, dict[str, int | bool]]:
    """All rules with all thresholds: those of an organisation (`given`), else the defaults."""
    return {
        name: {
            ENABLED: bool(given.get(name, {}).get(ENABLED, True)),
            **{key: given.get(name, {}).get(key, threshold.default) for key, threshold in rule.thresholds.items()},
        }
        for name, rule in RULES.items()
    }


def differing(wanted: Given) -> dict[str, dict[str, int | bool]]:
    """What of `wanted` is not as by default: the form in which an organisation keeps it. Raises UnknownRule."""
    kept = {}
    for name, values in wanted.items():
        rule = RULES.get(name)
        if rule is None:
            raise UnknownRule(f"rules.{name}", f"is no rule; there are {', '.join(RULES)}")
        changed = {key: value for key, value in values.items() if _differs(rule, key, value)}
        if changed:
            kept[name] = changed
    return kept


def threshold_sql(rule: str, name: str) -> str:
    """The threshold of the organisation in the row `o` of read.organisations, or the default where it has none."""
    default = RULES[rule].thresholds[name].default
    return f"coalesce((o.alert_rules #>> '{{{rule},{name}}}')::bigint, {default})"


def enabled_sql(rule: str) -> str:
    """Whether the organisation in the row `o` of read.organisations has the rule switched on."""
    return f"coalesce((o.alert_rules #>> '{{{rule},{ENABLED}}}')::boolean, true)"


def _differs(rule: AlertRule, key: str, value: Any) -> bool:
    field = f"rules.{rule.name}.{key}"
    if key == ENABLED:
        if not isinstance(value, bool):
            raise UnknownRule(field, "must be true or false")
        return not value
    threshold = rule.thresholds.get(key)
    if threshold is None:
        raise UnknownRule(field, f"is no threshold of it; there are {', '.join((ENABLED, *rule.thresholds))}")
    if isinstance(value, bool) or not threshold.least <= value <= threshold.most:
        raise UnknownRule(field, f"must be {threshold.least} to {threshold.most}")
    return bool(value != threshold.default)


# What is known already is left out before the insert, which would otherwise use up an id each time it looks.
_RAISE = """
    with crossed as (
        select org collate "C" as org, rule collate "C" as rule, key collate "C" as key, type, severity, subject,
            user_id, message, data, n
        from unnest(%(orgs)s::text[], %(rules)s::text[], %(keys)s::text[], %(types)s::text[], %(severities)s::text[],
            %(subjects)s::text[], %(users)s::text[], %(messages)s::text[], %(data)s::jsonb[]) with ordinality
            as given (org, rule, key, type, severity, subject, user_id, message, data, n)
    ), new as (
        insert into alerts (org, rule, key, type, severity, subject, user_id, message, data)
        select org, rule, key, type, severity, subject, user_id, message, data from crossed c
        where not exists (select from alerts a where a.org = c.org and a.rule = c.rule and a.key = c.key)
        order by n
        on conflict (org, rule, key) do nothing
        returning id, org, type
    ), outgoing as (
        insert into deliveries (id, org, webhook_id, alert_id)
        select new.id || '.' || w.id, w.org, w.id, new.id from new
        join webhooks w on w.org = new.org and w.enabled and (w.types is null or new.type = any(w.types))
    )
    select count(*) from new"""


class Crossing(NamedTuple):
    """That a rule was crossed: `key` identifies this crossing among those of the rule in the organisation.

    `subject` is the stream that it is about, `user_id` the person where there is one, `facts` the numbers (JSON).
    """

    rule: str
    severity: str
    org: str
    key: str
    subject: str
    user_id: str | None
    message: str
    facts: dict[str, Any]


async def raise_alerts(connection: "psycopg.AsyncConnection[Any]", crossings: Sequence[Crossing]) -> int:
    """Write those that are new, with a delivery for each webhook that wants them; how many those were.

    The login is scrip_writer. Raises psycopg.Error.
    """
    if not crossings:
        return 0
    cursor = await connection.execute(
        _RAISE,
        {
            "orgs": [each.org for each in crossings],
            "rules": [each.rule for each in crossings],
            "keys": [each.key for each in crossings],
            "types": [RULES[each.rule].type for each in crossings],
            "severities": [each.severity for each in crossings],
            "subjects": [each.subject for each in crossings],
            "users": [each.user_id for each in crossings],
            "messages": [each.message for each in crossings],
            "data": [Jsonb(each.facts) for each in crossings],
        },
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
