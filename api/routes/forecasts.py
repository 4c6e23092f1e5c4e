"""When accounts and plan tokens run out, and which organisations are about to (S3)."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.current import database_time
from api.operation import Call
from api.paging import CursorText, Limit
from api.positions import first_at
from api.reading import Json, MinPosition, cursors, seen
from api.routing import ReadRoute, call_of
from api.run_out import METHOD, WINDOW_DAYS, forecast
from api.services import Services
from infra.partitions import partition_of
from infra.security.principal import Role

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

CallNow = Annotated[Call, Depends(call_of)]


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


class _Forecasts:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def list_forecasts(
        self,
        call: CallNow,
        prefix: Annotated[str, Query(max_length=767, pattern=r"^[A-Za-z0-9._:@|+=~-]*$")] = "",
        unit: Annotated[str | None, Query(max_length=255)] = None,
        limit: Limit = 50,
        cursor: CursorText = None,
        min_position: MinPosition = None,
    ) -> Json:
        await seen(self._services, call, min_position)
        now = await database_time(self._services)
        pages = cursors(self._services, call, "forecasts", prefix, unit or "")
        after = pages.decode(cursor, str)[0] if cursor else ""
        partition = partition_of(call.org, self._services.ledger.writer.partitions)
        first = await first_at(self._services, partition, now - timedelta(days=WINDOW_DAYS))
        wanted = {"org": call.org, "prefix": prefix, "unit": unit, "after": after, "first": first, "limit": limit + 1}
        rows = await self._services.rows(_LIST, wanted)

        def shown(row: dict[str, Any]) -> dict[str, Any]:
            expected = forecast(row["available"], row["used"], now, row["refresh_at"])
            unit = row["unit"]
            token_type = unit.removeprefix("tokens.") if unit.startswith("tokens.") else None
            return {"address": row["address"], "unit": unit, "token_type": token_type, **expected}

        page = pages.page(rows, limit, lambda row: [row["address"]], shown)
        return Json({"method": METHOD, "as_of": now, **page})

    async def list_at_risk(
        self, call: CallNow, limit: Limit = 50, cursor: CursorText = None, min_position: MinPosition = None
    ) -> Json:
        await seen(self._services, call, min_position)
        now = await database_time(self._services)
        own = None if call.principal.role is Role.ADMIN else call.org
        pages = cursors(self._services, call, "at-risk")
        org, address = pages.decode(cursor, str, str) if cursor else ("", "")
        window = now - timedelta(days=WINDOW_DAYS)
        wanted = {"own": own, "org": org, "address": address, "now": now, "window": window, "days": WINDOW_DAYS}
        rows = await self._services.rows_of_all(_AT_RISK, wanted | {"percent": RISK_PERCENT, "limit": limit + 1})

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

        page = pages.page(rows, limit, lambda row: [row["org"], row["address"]], shown)
        return Json({"method": METHOD, "percent": RISK_PERCENT, "as_of": now, **page})


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    handlers = _Forecasts(services)
    return [
        ReadRoute(
            "/api/v1/forecasts",
            handlers.list_forecasts,
            services,
            "When accounts and plan tokens run out",
            ForecastAnswer,
        ),
        ReadRoute(
            "/api/v1/organisations/at-risk",
            handlers.list_at_risk,
            services,
            "Organisations that run out of plan tokens",
            AtRiskAnswer,
        ),
    ]
