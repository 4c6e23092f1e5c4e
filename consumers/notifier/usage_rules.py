"""Rules about use and purchases: rapid requests, refusals, a spike, what was never settled (S3, contract)."""

from consumers.notifier.query import Facts, Query, of
from infra.alert_rules import enabled_sql, threshold_sql

LATEST = 1_000  # rows of the usage log in which to look for users who have just used plan tokens


def _many(facts: Facts, what: str, span: str) -> str:
    return f"{facts['user_id']} {what} {facts['count']} times within {span}."


# The newest rows of a user are counted, no more of them than the threshold: the index ends the look.
RAPID_REQUESTS = Query(
    "rapid_requests",
    "generation",
    f"""
    with users as (
        select distinct r.org, r.user_id, {threshold_sql("rapid_requests", "generations")} as most,
            {threshold_sql("rapid_requests", "seconds")} as seconds
        {of("generations", "id")} where {enabled_sql("rapid_requests")}
    )
    select u.org, concat_ws('/', u.user_id, to_char(newest.created_at at time zone 'UTC', 'YYYY-MM-DD HH24')),
        'user/' || u.user_id, u.user_id, 'warning',
        jsonb_build_object('user_id', u.user_id, 'count', u.most + 1, 'seconds', u.seconds)
    from users u
    cross join lateral (
        select created_at from read.generations g where g.org = u.org and g.user_id = u.user_id
        order by created_position desc limit 1
    ) newest
    cross join lateral (
        select created_at from read.generations g where g.org = u.org and g.user_id = u.user_id
        order by created_position desc offset u.most limit 1
    ) oldest
    where oldest.created_at > newest.created_at - u.seconds * interval '1 second'""",
    lambda facts: _many(facts, "asked for generations", f"{facts['seconds']} s"),
)

# Plan tokens that were deducted; those of generations are counted with these.
RAPID_DEDUCTIONS = Query(
    "rapid_requests",
    "account",
    f"""
    with users as (
        select distinct r.org, r.user_id, {threshold_sql("rapid_requests", "generations")} as most,
            {threshold_sql("rapid_requests", "seconds")} as seconds
        from (select distinct org from unnest(%(orgs)s::text[], %(ids)s::text[]) as t (org, id)
            where id like 'org:%%:tokens.%%') t
        cross join lateral (
            select org, user_id, generation_id from read.token_usage u where u.org = t.org
            order by position desc limit {LATEST}
        ) r
        left join read.organisations o on o.org = t.org
        where r.user_id is not null and r.generation_id is null and {enabled_sql("rapid_requests")}
    )
    select u.org, concat_ws('/', u.user_id, to_char(newest.at at time zone 'UTC', 'YYYY-MM-DD HH24')),
        'user/' || u.user_id, u.user_id, 'warning',
        jsonb_build_object('user_id', u.user_id, 'count', u.most + 1, 'seconds', u.seconds, 'deductions', true)
    from users u
    cross join lateral (
        select at from read.token_usage d where d.org = u.org and d.user_id = u.user_id
            and d.generation_id is null and d.tokens > 0
        order by position desc limit 1
    ) newest
    cross join lateral (
        select at from read.token_usage d where d.org = u.org and d.user_id = u.user_id
            and d.generation_id is null and d.tokens > 0
        order by position desc offset u.most limit 1
    ) oldest
    where oldest.at > newest.at - u.seconds * interval '1 second'""",
    lambda facts: _many(facts, "used plan tokens", f"{facts['seconds']} s"),
)

REFUSED_GENERATIONS = Query(
    "refused_generations",
    "generation",
    f"""
    with users as (
        select distinct r.org, r.user_id, {threshold_sql("refused_generations", "refusals")} as most,
            {threshold_sql("refused_generations", "minutes")} as minutes
        {of("generations", "id")} where r.status = 'refused' and {enabled_sql("refused_generations")}
    )
    select u.org, concat_ws('/', u.user_id, to_char(newest.at at time zone 'UTC', 'YYYY-MM-DD HH24')),
        'user/' || u.user_id, u.user_id, 'warning',
        jsonb_build_object('user_id', u.user_id, 'count', u.most, 'minutes', u.minutes, 'reason', newest.reason)
    from users u
    cross join lateral (
        select at, reason from read.refusals f where f.org = u.org and f.user_id = u.user_id
        order by position desc limit 1
    ) newest
    cross join lateral (
        select at from read.refusals f where f.org = u.org and f.user_id = u.user_id
        order by position desc offset u.most - 1 limit 1
    ) oldest
    where oldest.at > newest.at - u.minutes * interval '1 minute'""",
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

# Once a minute, for the organisations that used something; `days` and `starts` are each one's own day of today.
USAGE_SPIKE = Query(
    "usage_spike",
    "",
    f"""
    select t.org, t.day::text, 'organisation', null, 'warning',
        jsonb_build_object('today', use.today, 'daily_average', div(use.before, 7), 'day', t.day)
    from unnest(%(orgs)s::text[], %(days)s::date[], %(starts)s::timestamptz[]) as t (org, day, start)
    left join read.organisations o on o.org = t.org
    cross join lateral (
        select coalesce(sum(credits) filter (where at >= t.start), 0),
            coalesce(sum(credits) filter (where at < t.start), 0)
        from read.usage u where u.org = t.org and u.at >= t.start - interval '168 hours'
    ) as use (today, before)
    where use.before > 0 and use.today > {threshold_sql("usage_spike", "floor")}
        and use.today * 7 > use.before * {threshold_sql("usage_spike", "times")} and {enabled_sql("usage_spike")}""",
    lambda facts: (
        f"{facts['today']} credits were used today, against {facts['daily_average']} a day in the 7 days before."
    ),
)

# The same of plan tokens, all types together; refunds are taken off.
TOKEN_SPIKE = Query(
    "usage_spike",
    "",
    f"""
    select t.org, 'tokens/' || t.day::text, 'organisation', null, 'warning',
        jsonb_build_object('today', use.today, 'daily_average', div(use.before, 7), 'day', t.day, 'unit', 'tokens')
    from unnest(%(orgs)s::text[], %(days)s::date[], %(starts)s::timestamptz[]) as t (org, day, start)
    left join read.organisations o on o.org = t.org
    cross join lateral (
        select coalesce(sum(tokens) filter (where at >= t.start), 0),
            coalesce(sum(tokens) filter (where at < t.start), 0)
        from read.token_usage u where u.org = t.org and u.at >= t.start - interval '168 hours'
    ) as use (today, before)
    where use.before > 0 and use.today > {threshold_sql("usage_spike", "token_floor")}
        and use.today * 7 > use.before * {threshold_sql("usage_spike", "times")} and {enabled_sql("usage_spike")}""",
    lambda facts: (
        f"{facts['today']} plan tokens were used today, against {facts['daily_average']} a day in the 7 days before."
    ),
)
