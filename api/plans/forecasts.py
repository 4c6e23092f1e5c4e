"""When accounts and plan tokens run out, and which organisations are about to (S3)."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel

from api.http.caller import Call
from api.http.current import database_time
from api.http.endpoint import endpoint
from api.http.lists import Page, first_at
from api.http.policy import May
from infra.partitions import partition_of
from infra.security.principal import Role

WINDOW_DAYS = 14
METHOD = f"mean of the last {WINDOW_DAYS} days"
FARTHEST_DAYS = 36_500  # what lasts for a century does not run out


def forecast(balance: int, used: int, now: datetime, refresh_date: datetime | None = None) -> dict[str, Any]:
    """`runs_out_at` for a `balance` of which `used` was the use in the last 14 days; none where nothing was used.

    `per_day` is a decimal as text. `before_refresh`: it runs out before the plan grants anew.
    """
    used = max(0, used)
    runs_out: datetime | None = None
    if used:
        seconds = max(0, balance) * WINDOW_DAYS * 86_400 // used
        if seconds <= FARTHEST_DAYS * 86_400:
            runs_out = now + timedelta(seconds=seconds)
    hundredths = used * 100 // WINDOW_DAYS
    return {
        "method": METHOD,
        "balance": balance,
        "used_in_window": used,
        "per_day": f"{hundredths // 100}.{hundredths % 100:02d}",
        "runs_out_at": runs_out,
        "runs_out_on": runs_out.date() if runs_out else None,
        "before_refresh": bool(runs_out and refresh_date and runs_out < refresh_date),
    }


RISK_PERCENT = 80

_LIST = """
    select b.address, b.unit, b.available, b.refresh_at, used.amount as used
    from (
        select address, unit, available, refresh_at from read.balances
        where org = %(org)s and address > %(after)s and address >= %(prefix)s and starts_with(address, %(prefix)s)
          and (%(unit)s::text is null or unit = %(unit)s)
        order by address limit %(limit)s
    ) b
    cross join lateral (
        select coalesce(-sum(t.amount), 0) as amount from read.transactions t
        where t.org = %(org)s and t.address = b.address and t.position >= %(first)s
          and t.type in ('debited', 'captured', 'shortfall_collected', 'refunded')
    ) used
    order by b.address"""
# What the plan granted in the cycle that runs, how much of that is gone, and what was used lately from all sources.
_AT_RISK = """
    select b.org, o.plan, b.address, b.unit, b.available, b.refresh_at, granted.amount as allocated,
        granted.amount - granted.remaining as used, recent.used as recent
    from read.balances b
    join read.organisations o on o.org = b.org
    cross join lateral (
        select coalesce(sum(g.amount), 0) as amount,
            coalesce(sum(g.remaining + g.reserved), 0) as remaining
        from read.grants g
        where g.org = b.org and g.address = b.address and g.source = 'plan' and g.expires_at = b.refresh_at
    ) granted
    cross join lateral (
        select coalesce(sum(t.tokens), 0) as used from read.token_usage t
        where t.org = b.org and t.address = b.address and t.at >= %(window)s
    ) recent
    where b.allowance > 0 and b.owner_type = 'org' and b.unit like 'tokens.%%' and b.refresh_at > %(now)s
      and (%(own)s::text is null or b.org = %(own)s) and (b.org, b.address) > (%(org)s, %(address)s)
      and granted.amount > 0
      and ((granted.amount - granted.remaining) * 100 > granted.amount * %(percent)s
        or (recent.used > 0 and b.available::numeric * %(days)s * 86400 / recent.used
            < extract(epoch from b.refresh_at - %(now)s)))
    order by b.org, b.address limit %(limit)s"""


class ForecastAnswer(BaseModel):
    """A page of accounts; `runs_out_at` is null for what is not used."""

    method: str
    as_of: datetime
    items: list[dict[str, Any]]
    next_cursor: str | None = None


class AtRiskAnswer(BaseModel):
    """Plan tokens of which over 80 % of the cycle's are used, or which run out before the plan grants anew."""

    method: str
    percent: int
    as_of: datetime
    items: list[dict[str, Any]]
    next_cursor: str | None = None


@endpoint("GET /api/v1/forecasts", May.READ_EVENTS, ForecastAnswer)
async def list_forecasts(
    call: Call,
    page: Page,
    prefix: Annotated[str, Query(max_length=767, pattern=r"^[A-Za-z0-9._:@|+=~-]*$")] = "",
    unit: Annotated[str | None, Query(max_length=255)] = None,
) -> dict[str, Any]:
    """When accounts and plan tokens run out."""
    pages = await page.of(call, "forecasts", prefix, unit or "")
    now = await database_time(call.services)
    (after,) = pages.after("")
    partition = partition_of(call.org, call.services.ledger.writer.partitions)
    first = await first_at(call.services, partition, now - timedelta(days=WINDOW_DAYS))
    wanted = {"org": call.org, "prefix": prefix, "unit": unit, "after": after, "first": first, "limit": pages.more}
    rows = await call.services.rows(_LIST, wanted)

    def shown(row: dict[str, Any]) -> dict[str, Any]:
        expected = forecast(row["available"], row["used"], now, row["refresh_at"])
        unit = row["unit"]
        token_type = unit.removeprefix("tokens.") if unit.startswith("tokens.") else None
        return {"address": row["address"], "unit": unit, "token_type": token_type, **expected}

    told = pages.page(rows, lambda row: [row["address"]], shown)
    return {"method": METHOD, "as_of": now, **told}


@endpoint("GET /api/v1/organisations/at-risk", May.READ_PLATFORM, AtRiskAnswer)
async def list_at_risk(call: Call, page: Page) -> dict[str, Any]:
    """Organisations that run out of plan tokens."""
    pages = await page.of(call, "at-risk")
    now = await database_time(call.services)
    own = None if call.principal.role is Role.ADMIN else call.org
    org, address = pages.after("", "")
    window = now - timedelta(days=WINDOW_DAYS)
    wanted = {"own": own, "org": org, "address": address, "now": now, "window": window, "days": WINDOW_DAYS}
    rows = await call.services.rows_of_all(_AT_RISK, wanted | {"percent": RISK_PERCENT, "limit": pages.more})

    def shown(row: dict[str, Any]) -> dict[str, Any]:
        expected = forecast(row["available"], row["recent"], now, row["refresh_at"])
        return {
            "organisation": row["org"],
            "plan": row["plan"],
            "token_type": row["unit"].removeprefix("tokens."),
            "allocated": row["allocated"],
            "used": row["used"],
            "percent": row["used"] * 100 // row["allocated"],
            "refresh_date": row["refresh_at"],
            "forecast": expected,
        }

    told = pages.page(rows, lambda row: [row["org"], row["address"]], shown)
    return {"method": METHOD, "percent": RISK_PERCENT, "as_of": now, **told}
