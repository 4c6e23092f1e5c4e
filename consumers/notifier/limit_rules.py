"""Rules about limits: budgets, groups, and the tokens that a plan gives for a cycle (S1, S2, S3)."""

from consumers.notifier.query import Facts, Query, levels, of
from domain.wording import percent_text, usd_text
from infra.alert_rules import enabled_sql, threshold_sql

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
