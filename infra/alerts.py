"""Raising alerts: each crossing once, and in the same transaction what is to be delivered of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from infra.alert_rules import RULES

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
    """That a rule was crossed: `key` tells this crossing from every other of the rule in the organisation.

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
