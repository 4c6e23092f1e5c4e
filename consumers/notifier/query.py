"""What a rule asks of the read models: about things that have just changed, by their keys.

A query gives the organisation, the key of the crossing, the subject, the user where there is one, the severity, and the
numbers; what it gives is an alert unless one with the same organisation, rule and key exists. So it may give the same
crossing as often as it likes, and percentages are looked at again after every movement.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from infra.alert_rules import threshold_sql

Facts = dict[str, Any]


class Query(NamedTuple):
    """A rule, the kind of stream that it looks at, its query and its sentence.

    Parameters: `orgs` and `ids` name the streams. Columns: org, key, subject, user_id, severity, facts (an object).
    """

    rule: str
    kind: str
    sql: str
    sentence: Callable[[Facts], str]


def of(kind_table: str, id_column: str) -> str:
    """The rows of a read model for the streams that have changed, and the organisation's settings."""
    return f"""
        from unnest(%(orgs)s::text[], %(ids)s::text[]) as t (org, id)
        join read.{kind_table} r on r.org = t.org and r.{id_column} = t.id
        left join read.organisations o on o.org = t.org"""


def levels(rule: str) -> str:
    """Both thresholds of a rule: what passes both at once has crossed both."""
    return f"""
        cross join lateral (values
            ('warning', {threshold_sql(rule, "warning")}), ('critical', {threshold_sql(rule, "critical")})
        ) as level (severity, percent)"""
