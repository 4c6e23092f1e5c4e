"""What there is of an organisation's plan tokens, and the figures by which their use is watched (S3)."""

from asyncio import gather
from datetime import datetime, timedelta
from typing import Any

from api.current import ask
from api.database import Row
from api.http.caller import Call
from api.run_out import METHOD, WINDOW_DAYS, forecast
from api.services import Services
from domain.organisations.now import PlanNow, PlanStanding, UnitStanding
from domain.periods import CYCLE
from infra.position import format_position
from infra.security.principal import Role

LOW_PERCENT = 20  # of what the cycle gave
RISK_PERCENT = 80
TOP = 10

# What had been used before each of three times, by the one order that has an index for it: the sum since then is what
# the write side says was used in all, less this. The last use is read from the log, which is never behind.
_USED = """
    select types.name as token_type, last.at as last_used_at, array(
        select coalesce((
            select total from read.token_usage where org = %(org)s and token_type = types.name and at < until.at
            order by at desc, position desc limit 1
        ), 0)
        from unnest(array[%(since)s, %(window)s, %(month)s]::timestamptz[]) with ordinality as until (at, n) order by n
    ) as totals
    from unnest(%(types)s::text[]) as types (name)
    left join lateral (
        select time as at from events
        where org = %(org)s and stream = 'account/org:' || %(org)s || ':tokens.' || types.name
          and position <= %(position)s
          and split_part(type, '.', 1) in ('credits-debited', 'reservation-captured', 'shortfall-collected')
        order by version desc limit 1
    ) last on true"""
_BY = """
    select coalesce({what}, '') as name, token_type, sum(tokens) as tokens, count(*)::bigint as uses
    from read.token_usage where org = %(org)s and at >= %(month)s and position <= %(position)s
    group by 1, 2 order by 3 desc, 1 limit %(top)s"""


async def token_stats(call: Call) -> dict[str, Any]:
    """Balances and use of one moment, the write side's; what users did is not for other users.

    The read model says what had been used before the cycle, the window and the month began, which does not change.
    """
    answered = await ask(call.services, call.org, PlanNow())
    plan: PlanStanding = answered.value
    now = answered.time
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    wanted = {
        "org": call.org,
        "types": list(plan.tokens),
        "position": answered.position,
        "month": month,
        "since": plan.cycle_start or now - CYCLE,
        "window": now - timedelta(days=WINDOW_DAYS),
    }
    used = {row["token_type"]: row for row in await call.services.rows(_USED, wanted)}
    tokens = {name: _type(plan, name, used[name], now) for name in plan.tokens}
    told: dict[str, Any] = {
        "organisation": call.org,
        "plan": plan.plan,
        "refresh_date": plan.refresh_date,
        "cycle_start": plan.cycle_start,
        "tokens": tokens,
        "upgrade": _upgrade(call.services, plan),
        "monitoring": None,
        "position": format_position(answered.position),
    }
    if call.principal.role is not Role.USER:
        in_month = {name: plan.used[name] - used[name]["totals"][2] for name in plan.tokens}
        asked = {"org": call.org, "month": month, "position": answered.position, "top": TOP}
        told["monitoring"] = await _monitoring(call.services, asked, tokens, in_month)
    return told


def status_of(unit: UnitStanding) -> str:
    """`blocked` where the plan gives none and there is none, `empty`, `low` from 20 % left of the cycle's, or `ok`."""
    if not unit.balance:
        return "empty" if unit.allowance or unit.allocated else "blocked"
    return "low" if unit.balance * 100 <= unit.allocated * LOW_PERCENT else "ok"


def _type(plan: PlanStanding, name: str, row: Row, now: datetime) -> dict[str, Any]:
    unit, total = plan.tokens[name], plan.used[name]
    before_cycle, before_window, _ = row["totals"]
    used, recent = total - before_cycle, total - before_window
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


async def _monitoring(
    services: Services, wanted: dict[str, Any], tokens: dict[str, dict[str, Any]], in_month: dict[str, int]
) -> dict[str, Any]:
    """Of the calendar month so far (UTC); `in_month` is what was used of each type."""
    features, users = await gather(
        services.rows(_BY.format(what="feature"), wanted),
        services.rows(_BY.format(what="user_id"), wanted),
    )
    at_risk = [
        name
        for name, each in tokens.items()
        if (each["used_percent"] or 0) >= RISK_PERCENT or each["forecast"]["before_refresh"]
    ]
    return {
        "month": wanted["month"],
        "tokens_this_month": sum(in_month.values()),
        "by_type": {name: in_month[name] for name in sorted(in_month) if in_month[name]},
        "top_features": [_named(row, "feature") for row in features],
        "use_per_user": [_named(row, "user_id") for row in users],
        "forecast_method": METHOD,
        "at_risk": at_risk,
    }


def _named(row: Row, name: str) -> dict[str, Any]:
    return {name: row.pop("name") or None, **row}
