"""What there is of an organisation's plan tokens, and the figures by which their use is watched (S3)."""

from asyncio import gather
from datetime import datetime, timedelta
from typing import Any

from api.current import ask
from api.operation import Call
from api.run_out import METHOD, WINDOW_DAYS, forecast
from api.services import Row, Services
from domain.organisations.now import PlanNow, PlanStanding, UnitStanding
from domain.periods import CYCLE
from infra.position import format_position
from infra.security.principal import Role

LOW_PERCENT = 20  # of what the cycle gave
RISK_PERCENT = 80
TOP = 10

# What was used until each of three times; a sum is the difference of two. So it takes as many look-ups for the log of a
# year as for that of a day, by the one order that has an index for it.
_USED = """
    select types.name as token_type, last.at as last_used_at, array(
        select coalesce((
            select total from read.token_usage where org = %(org)s and token_type = types.name and at < until.at
            order by at desc, position desc limit 1
        ), 0)
        from unnest(array['infinity', %(since)s, %(window)s]::timestamptz[]) with ordinality as until (at, n) order by n
    ) as totals
    from unnest(%(types)s::text[]) as types (name)
    left join lateral (
        select at from read.token_usage where org = %(org)s and token_type = types.name and tokens > 0
        order by at desc, position desc limit 1
    ) last on true"""
_BY = """
    select coalesce({what}, '') as name, token_type, sum(tokens)::bigint as tokens, count(*)::bigint as uses
    from read.token_usage where org = %(org)s and at >= %(month)s
    group by 1, 2 order by 3 desc, 1 limit %(top)s"""
_MONTH = """
    select token_type, sum(tokens)::bigint as tokens from read.token_usage
    where org = %(org)s and at >= %(month)s group by token_type order by token_type"""


async def token_stats(services: Services, call: Call) -> dict[str, Any]:
    """Balances from the write side, use from the read model; what users did is not for other users."""
    answered = await ask(services, call.org, PlanNow())
    plan: PlanStanding = answered.value
    now = answered.time
    wanted = {
        "org": call.org,
        "types": list(plan.tokens),
        "since": plan.cycle_start or now - CYCLE,
        "window": now - timedelta(days=WINDOW_DAYS),
    }
    used = {row["token_type"]: row for row in await services.rows(_USED, wanted)}
    tokens = {name: _type(plan, unit, used[name], now) for name, unit in plan.tokens.items()}
    told: dict[str, Any] = {
        "organisation": call.org,
        "plan": plan.plan,
        "refresh_date": plan.refresh_date,
        "cycle_start": plan.cycle_start,
        "tokens": tokens,
        "upgrade": _upgrade(services, plan),
        "monitoring": None,
        "position": format_position(answered.position),
    }
    if call.principal.role is not Role.USER:
        told["monitoring"] = await _monitoring(services, call.org, tokens, now)
    return told


def status_of(unit: UnitStanding) -> str:
    """`blocked` where the plan gives none and there is none, `empty`, `low` from 20 % left of the cycle's, or `ok`."""
    if not unit.balance:
        return "empty" if unit.allowance or unit.allocated else "blocked"
    return "low" if unit.balance * 100 <= unit.allocated * LOW_PERCENT else "ok"


def _type(plan: PlanStanding, unit: UnitStanding, row: Row, now: datetime) -> dict[str, Any]:
    now_used, before_cycle, before_window = row["totals"]
    used, recent = now_used - before_cycle, now_used - before_window
    return {
        "balance": unit.balance,
        "reserved": unit.reserved,
        "allowance": unit.allowance,
        "total_allocated": unit.allocated,
        "total_used": used,
        "used_percent": min(100, max(0, used) * 100 // unit.allocated) if unit.allocated else None,
        "refresh_date": plan.refresh_date,
        "last_used_at": row["last_used_at"],
        "status": status_of(unit),
        "forecast": forecast(unit.balance, recent, now, plan.refresh_date),
    }


def _upgrade(services: Services, plan: PlanStanding) -> dict[str, str] | None:
    """What a dashboard offers to an organisation whose plan gives no tokens."""
    if any(unit.allowance for unit in plan.tokens.values()):
        return None
    return {
        "label": "Upgrade Plan",
        "message": f"The plan {plan.plan} has no tokens. Upgrade to use these features.",
        "href": services.settings.link_plan,
    }


async def _monitoring(services: Services, org: str, tokens: dict[str, dict[str, Any]], now: datetime) -> dict[str, Any]:
    """Of the calendar month so far (UTC)."""
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    wanted = {"org": org, "month": month, "top": TOP}
    by_type, features, users = await gather(
        services.rows(_MONTH, wanted),
        services.rows(_BY.format(what="feature"), wanted),
        services.rows(_BY.format(what="user_id"), wanted),
    )
    at_risk = [
        name
        for name, each in tokens.items()
        if (each["used_percent"] or 0) >= RISK_PERCENT or each["forecast"]["before_refresh"]
    ]
    return {
        "month": month,
        "tokens_this_month": sum(row["tokens"] for row in by_type),
        "by_type": {row["token_type"]: row["tokens"] for row in by_type},
        "top_features": [_named(row, "feature") for row in features],
        "use_per_user": [_named(row, "user_id") for row in users],
        "forecast_method": METHOD,
        "at_risk": at_risk,
    }


def _named(row: Row, name: str) -> dict[str, Any]:
    return {name: row.pop("name") or None, **row}
