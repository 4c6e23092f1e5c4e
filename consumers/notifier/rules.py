"""The alert rules: what each asks of the read models about things that have just changed, by their keys.

A query gives the organisation, the key of the crossing, the subject, the user where there is one, the severity, and the
numbers; what it gives is an alert unless one with the same organisation, rule and key exists. So it may give the same
crossing as often as it likes, and percentages are looked at again after every movement.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from domain.wording import percent_text, usd_text
from infra.alerts import enabled_sql, threshold_sql

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


# Limits: budgets, groups, and the tokens that a plan gives for a cycle (S1, S2, S3).

BUDGET = Query(
    "budget",
    "budget",
    f"""
    select r.org, concat_ws('/', r.user_id, r.period_key, r.monthly, level.severity, level.percent),
        'budget/' || r.user_id, r.user_id, level.severity,
        jsonb_build_object('used', r.used, 'limit', r.monthly, 'percent', level.percent, 'period', r.period_key)
    {of("budgets", "user_id")} {levels("budget")}
    where r.monthly > 0 and r.used::numeric * 100 >= r.monthly * level.percent and {enabled_sql("budget")}""",
    lambda facts: (
        f"{percent_text(facts['used'], facts['limit'])} of this month's budget is used: {usd_text(facts['used'])} of "
        f"{usd_text(facts['limit'])}."
    ),
)

GROUP = Query(
    "group",
    "group",
    f"""
    select r.org, concat_ws('/', r.id, what.name, r.period_key, what.most, level.severity, level.percent),
        'group/' || r.id, null, level.severity,
        jsonb_build_object('group', r.name, 'what', what.name, 'used', used.amount, 'limit', what.most,
            'percent', level.percent, 'period', r.period_key)
    {of("groups", "id")}
    cross join lateral (select key, value::numeric from jsonb_each_text(r.limits) where value is not null)
        as what (name, most)
    cross join lateral (select coalesce((r.used ->> what.name)::numeric, 0)) as used (amount)
    {levels("group")}
    where r.deleted_at is null and what.most > 0 and used.amount * 100 >= what.most * level.percent
        and {enabled_sql("group")}""",
    lambda facts: (
        f"The group {facts['group']} has used {percent_text(facts['used'], facts['limit'])} of its limit for "
        f"{facts['what'].removeprefix('tokens.')}: {facts['used']} of {facts['limit']}."
    ),
)

# The plan's grants of the running cycle are those that end with it; bought and gifted tokens do not count here.
PLAN_TOKENS = Query(
    "plan_tokens",
    "account",
    f"""
    select r.org, concat_ws('/', r.address, r.refresh_at, plan.granted), 'account/' || r.address, null, 'warning',
        jsonb_build_object('address', r.address, 'used', plan.granted - plan.remaining, 'limit', plan.granted,
            'percent', {threshold_sql("plan_tokens", "percent")}, 'refresh_at', r.refresh_at)
    {of("balances", "address")}
    cross join lateral (
        select coalesce(sum(g.amount), 0), coalesce(sum(g.remaining + g.reserved), 0)
        from read.grants g
        where g.org = r.org and g.address = r.address and g.source = 'plan' and g.expires_at = r.refresh_at
    ) as plan (granted, remaining)
    where r.owner_type = 'org' and r.unit like 'tokens.%%' and r.allowance > 0 and plan.granted > 0
        and (plan.granted - plan.remaining) * 100 >= plan.granted * {threshold_sql("plan_tokens", "percent")}
        and {enabled_sql("plan_tokens")}""",
    lambda facts: (
        f"{percent_text(facts['used'], facts['limit'])} of this cycle's {_unit(facts)} are used: {facts['used']} of "
        f"{facts['limit']}."
    ),
)


def _unit(facts: Facts) -> str:
    """The unit of an account, as in a sentence."""
    kind = str(facts["address"]).rpartition(":")[2].removeprefix("tokens.").replace("_", " ")
    return f"{kind} tokens"


# What is left of credits: low, exhausted, about to expire (S4).

# What was granted and transferred in so far: it grows with each grant, which arms the rule again.
_ARMED = "concat_ws('/', r.address, r.granted + r.transferred_in)"
_HOLDER = "case when r.owner_type = 'user' then r.owner_id end"

CREDITS_LOW = Query(
    "credits_low",
    "account",
    f"""
    select r.org, {_ARMED}, 'account/' || r.address, {_HOLDER}, 'warning',
        jsonb_build_object('address', r.address, 'left', r.available + r.reserved, 'last_grant', last.amount)
    {of("balances", "address")}
    cross join lateral (
        select g.amount from read.grants g where g.org = r.org and g.address = r.address and g.status <> 'scheduled'
        order by g.granted_at desc, g.id desc limit 1
    ) as last (amount)
    where r.available + r.reserved > 0 and r.unit not like 'tokens.%%' and {enabled_sql("credits_low")}
        and ((r.available::numeric + r.reserved) * 100 < last.amount * {threshold_sql("credits_low", "percent")}
            or r.available + r.reserved < {threshold_sql("credits_low", "amount")})""",
    lambda facts: f"{facts['address']} is low: {facts['left']} are left; the last grant was of {facts['last_grant']}.",
)

CREDITS_EXHAUSTED = Query(
    "credits_exhausted",
    "account",
    f"""
    select r.org, {_ARMED}, 'account/' || r.address, {_HOLDER}, 'critical',
        jsonb_build_object('address', r.address, 'left', r.available + r.reserved)
    {of("balances", "address")}
    where r.available + r.reserved <= 0 and r.granted + r.transferred_in > 0 and {enabled_sql("credits_exhausted")}""",
    lambda facts: f"{facts['address']} is exhausted: nothing is left.",
)


def _expiring(found: str) -> str:
    """Of the grants `g` that were found, those that end soon with something left."""
    return f"""
    select g.org, concat_ws('/', g.address, g.id, g.expires_at), 'account/' || g.address,
        case when g.address like 'user:%%' then substring(g.address from '^user:(.*):[^:]*$') end, 'warning',
        jsonb_build_object('address', g.address, 'grant_id', g.id, 'left', g.remaining, 'expires_at', g.expires_at)
    from {found}
    left join read.organisations o on o.org = g.org
    where g.status = 'live' and g.remaining > 0 and g.source <> 'plan' and g.expires_at > %(now)s
        and g.expires_at <= %(now)s + {threshold_sql("credits_expiring", "days")} * interval '1 day'
        and {enabled_sql("credits_expiring")}"""


def _expiring_text(facts: Facts) -> str:
    return f"{facts['left']} of {facts['address']} expire at {facts['expires_at'][:16].replace('T', ' ')} UTC."


EXPIRING_TOUCHED = Query(
    "credits_expiring",
    "account",
    _expiring(
        """unnest(%(orgs)s::text[], %(ids)s::text[]) as t (org, id)
        join read.grants g on g.org = t.org and g.address = t.id"""
    ),
    _expiring_text,
)

# Those that nothing happens to, by the clock: for each number of days that is in use, the grants that came within it
# between two looks. The bounds are given and not computed, or the index on them would not be used.
EXPIRING_DAYS = f"""
    select distinct {threshold_sql("credits_expiring", "days")}
    from (select alert_rules from read.organisations where alert_rules ? 'credits_expiring'
        union all select '{{}}'::jsonb) o"""

EXPIRING_BY_TIME = Query(
    "credits_expiring",
    "",
    _expiring(
        """(
            select * from read.grants
            where status = 'live' and expires_at > %(after)s and expires_at <= %(upto)s
        ) g"""
    ),
    _expiring_text,
)


# Use and purchases: rapid requests, refusals, a spike, what was never settled (S3).

LATEST = 1_000  # rows of the usage log in which to look for users who have just used plan tokens


def _many(facts: Facts, what: str, span: str) -> str:
    return f"{facts['user_id']} {what} {facts['count']} times within {span}."


def _burst(rule: str, count: str, span: str, users: str, rows: str, order: str, *, more: int, facts: str = "") -> str:
    """Users who have more rows than a rule allows within a span of time before the newest of them.

    `count` and `span` name the rule's thresholds, `span` in this unit too. `users`: rows `r` of those who may have.
    `rows` selects the rows of a user `u`, with their time `at`. It takes `more` than `count` of them. Only the newest
    rows are counted, up to the threshold: the index ends the look.
    """
    return f"""
    with users as (
        select distinct r.org, r.user_id, {threshold_sql(rule, count)} as most, {threshold_sql(rule, span)} as span
        {users} and {enabled_sql(rule)}
    )
    select u.org, concat_ws('/', u.user_id, to_char(newest.at at time zone 'UTC', 'YYYY-MM-DD HH24')),
        'user/' || u.user_id, u.user_id, 'warning',
        jsonb_build_object('user_id', u.user_id, 'count', u.most + {more}, '{span}', u.span{facts})
    from users u
    cross join lateral ({rows} order by {order} desc limit 1) newest
    cross join lateral ({rows} order by {order} desc offset u.most - 1 + {more} limit 1) oldest
    where oldest.at > newest.at - u.span * interval '1 {span}'"""


RAPID_REQUESTS = Query(
    "rapid_requests",
    "generation",
    _burst(
        *("rapid_requests", "generations", "seconds", of("generations", "id") + " where true"),
        "select created_at as at from read.generations g where g.org = u.org and g.user_id = u.user_id",
        "created_position",
        more=1,
    ),
    lambda facts: _many(facts, "asked for generations", f"{facts['seconds']} s"),
)

# Plan tokens that were deducted; those of generations are counted with these.
RAPID_DEDUCTIONS = Query(
    "rapid_requests",
    "account",
    _burst(
        *("rapid_requests", "generations", "seconds"),
        f"""from (select distinct org from unnest(%(orgs)s::text[], %(ids)s::text[]) as t (org, id)
            where id like 'org:%%:tokens.%%') t
        cross join lateral (
            select org, user_id, generation_id from read.token_usage u where u.org = t.org
            order by position desc limit {LATEST}
        ) r
        left join read.organisations o on o.org = t.org
        where r.user_id is not null and r.generation_id is null""",
        """select at from read.token_usage d where d.org = u.org and d.user_id = u.user_id
            and d.generation_id is null and d.tokens > 0""",
        "position",
        more=1,
        facts=", 'deductions', true",
    ),
    lambda facts: _many(facts, "used plan tokens", f"{facts['seconds']} s"),
)

REFUSED_GENERATIONS = Query(
    "refused_generations",
    "generation",
    _burst(
        *("refused_generations", "refusals", "minutes", of("generations", "id") + " where r.status = 'refused'"),
        "select at, reason from read.refusals f where f.org = u.org and f.user_id = u.user_id",
        "position",
        more=0,
        facts=", 'reason', newest.reason",
    ),
    lambda facts: _many(facts, "was refused", f"{facts['minutes']} minutes"),
)

# Once a minute, for the refusals of the last day: a deduction that is refused leaves nothing in the log.
REFUSED_DEDUCTIONS = Query(
    "refused_deductions",
    "",
    f"""
    with users as (
        select distinct r.org, r.user_id, {threshold_sql("refused_deductions", "refusals")} as most,
            {threshold_sql("refused_deductions", "minutes")} as minutes
        from (select distinct org, user_id from refused_checks where deduction and at > %(now)s - interval '1 day') r
        left join read.organisations o on o.org = r.org
        where {enabled_sql("refused_deductions")}
    )
    select u.org, concat_ws('/', u.user_id, to_char(newest.at at time zone 'UTC', 'YYYY-MM-DD HH24')),
        case when u.user_id = '' then 'organisation' else 'user/' || u.user_id end, nullif(u.user_id, ''), 'warning',
        jsonb_build_object('user_id', nullif(u.user_id, ''), 'count', u.most, 'minutes', u.minutes,
            'reason', newest.reason)
    from users u
    cross join lateral (
        select at, reason from refused_checks c where c.org = u.org and c.user_id = u.user_id and deduction
        order by at desc limit 1
    ) newest
    cross join lateral (
        select sum(1 + left_out) as refused from (
            select left_out from refused_checks c where c.org = u.org and c.user_id = u.user_id and deduction
                and at > newest.at - u.minutes * interval '1 minute'
            order by at desc limit u.most
        ) latest
    ) within
    where within.refused >= u.most""",
    lambda facts: (
        f"{facts['user_id'] or 'A program'} was refused plan tokens {facts['count']} times"
        f" within {facts['minutes']} minutes."
    ),
)

GENERATION_EXPIRED = Query(
    "generation_expired",
    "generation",
    f"""
    select r.org, r.id, 'generation/' || r.id, r.user_id, 'warning',
        jsonb_build_object('generation_id', r.id, 'operation', r.operation, 'model', r.model)
    {of("generations", "id")}
    where r.status = 'expired' and {enabled_sql("generation_expired")}""",
    lambda facts: f"The generation {facts['generation_id']} was never settled and has expired; what it held went back.",
)

GENERATION_EXHAUSTED = Query(
    "generation_exhausted",
    "generation",
    f"""
    select r.org, r.id, 'generation/' || r.id, r.user_id, 'warning',
        jsonb_build_object('generation_id', r.id, 'operation', r.operation, 'model', r.model,
            'uncharged', r.uncharged, 'shortfall', r.shortfall)
    {of("generations", "id")}
    where (r.uncharged <> '{{}}' or r.shortfall <> '{{}}') and {enabled_sql("generation_exhausted")}""",
    lambda facts: f"The generation {facts['generation_id']} took more than was held for it.",
)

PURCHASE_COMPLETED = Query(
    "purchase_completed",
    "purchase",
    f"""
    select r.org, r.id, 'purchase/' || r.id, r.user_id, 'info',
        jsonb_build_object('purchase_id', r.id, 'provider', r.provider, 'price', r.price, 'currency', r.currency,
            'address', r.address, 'plan', r.plan)
    {of("purchases", "id")}
    where r.status = 'completed' and {enabled_sql("purchase_completed")}""",
    lambda facts: f"The purchase {facts['purchase_id']} is paid and granted.",
)


def _spike(table: str, column: str, floor: str, key: str, facts: str = "") -> str:
    """Organisations that used more today than so many times the daily average of the 7 days before.

    `days` and `starts`: each one's own day of today, and when it began.
    """
    return f"""
    select t.org, {key}, 'organisation', null, 'warning',
        jsonb_build_object('today', use.today, 'daily_average', div(use.before, 7), 'day', t.day{facts})
    from unnest(%(orgs)s::text[], %(days)s::date[], %(starts)s::timestamptz[]) as t (org, day, start)
    left join read.organisations o on o.org = t.org
    cross join lateral (
        select coalesce(sum({column}) filter (where at >= t.start), 0),
            coalesce(sum({column}) filter (where at < t.start), 0)
        from read.{table} u where u.org = t.org and u.at >= t.start - interval '168 hours'
    ) as use (today, before)
    where use.before > 0 and use.today > {threshold_sql("usage_spike", floor)}
        and use.today * 7 > use.before * {threshold_sql("usage_spike", "times")} and {enabled_sql("usage_spike")}"""


def _spike_text(facts: Facts, what: str) -> str:
    return f"{facts['today']} {what} were used today, against {facts['daily_average']} a day in the 7 days before."


USAGE_SPIKE = Query(
    "usage_spike",
    "",
    _spike("usage", "credits", "floor", "t.day::text"),
    lambda facts: _spike_text(facts, "credits"),
)

# The same of plan tokens, all types together; refunds are taken off.
TOKEN_SPIKE = Query(
    "usage_spike",
    "",
    _spike("token_usage", "tokens", "token_floor", "'tokens/' || t.day::text", ", 'unit', 'tokens'"),
    lambda facts: _spike_text(facts, "plan tokens"),
)

# When a stream of a rule's kind has changed.
BY_CHANGE: tuple[Query, ...] = (
    BUDGET,
    GROUP,
    PLAN_TOKENS,
    CREDITS_LOW,
    CREDITS_EXHAUSTED,
    EXPIRING_TOUCHED,
    RAPID_REQUESTS,
    RAPID_DEDUCTIONS,
    REFUSED_GENERATIONS,
    GENERATION_EXPIRED,
    GENERATION_EXHAUSTED,
    PURCHASE_COMPLETED,
)
# Once a minute for the organisations that used something; EXPIRING_BY_TIME and REFUSED_DEDUCTIONS for all.
SPIKES = (USAGE_SPIKE, TOKEN_SPIKE)
