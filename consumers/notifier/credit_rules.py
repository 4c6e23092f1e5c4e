"""Rules about what is left of credits: low, exhausted, about to expire (S4, contract)."""

from consumers.notifier.query import Facts, Query, of
from infra.alert_rules import enabled_sql, threshold_sql

# What was granted and transferred in so far tells one grant from the next: with it the rule is armed anew.
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


def _expiring_told(facts: Facts) -> str:
    return f"{facts['left']} of {facts['address']} expire at {facts['expires_at'][:16].replace('T', ' ')} UTC."


EXPIRING_TOUCHED = Query(
    "credits_expiring",
    "account",
    _expiring(
        """unnest(%(orgs)s::text[], %(ids)s::text[]) as t (org, id)
        join read.grants g on g.org = t.org and g.address = t.id"""
    ),
    _expiring_told,
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
    _expiring_told,
)
