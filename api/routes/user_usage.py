"""What each user of the organisation used in a time, for reports (S1)."""

from datetime import date
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from api.reports import Asked, Report, report_route
from api.services import Row, Services
from domain.money import decimal_text

COLUMNS = (
    *("user_id", "generations", "succeeded", "failed", "refused", "credits", "tokens", "plan_tokens", "usd"),
    *("provider_cost_usd", "first_day", "last_day"),
)
# Plan tokens are also used without a generation. What was spent is net of refunds.
_USED = """
    with used as (
        select user_id, day, outcome, generations, succeeded, credits, tokens, plan_tokens, usd,
            case when currency in ('USD', '') then provider_cost else 0 end as provider_cost
        from read.usage_daily
        where org = %(org)s and day >= %(first)s and day < %(last)s and user_id > %(after)s
        union all
        select user_id, (at at time zone 'UTC')::date, 'deducted', 0, 0, 0, 0, tokens, 0, 0
        from read.token_usage
        where org = %(org)s and at >= %(first)s and at < %(last)s and generation_id is null and user_id > %(after)s
    )
    select user_id,
        coalesce(sum(generations) filter (where outcome <> 'refused'), 0)::bigint as generations,
        sum(succeeded)::bigint as succeeded,
        coalesce(sum(generations) filter (where outcome = 'failed'), 0)::bigint as failed,
        coalesce(sum(generations) filter (where outcome = 'refused'), 0)::bigint as refused,
        sum(credits)::bigint as credits, sum(tokens)::bigint as tokens, sum(plan_tokens)::bigint as plan_tokens,
        sum(usd)::bigint as usd, sum(provider_cost)::bigint as provider_cost_usd,
        min(day) as first_day, max(day) as last_day
    from used group by user_id order by user_id limit %(limit)s"""


class UserUse(BaseModel):
    """What one user used. `credits`, `tokens`, `plan_tokens` and `usd` are what was charged, less what was refunded."""

    user_id: str
    generations: int
    succeeded: int
    failed: int
    refused: int
    credits: int
    tokens: int
    plan_tokens: int
    usd: str
    provider_cost_usd: str
    first_day: date
    last_day: date


class UserUses(BaseModel):
    """Those who used anything from `from` to `to` (not included), whole days of UTC, by their id."""

    from_: date = Field(alias="from")
    to: date
    items: list[UserUse]
    next_cursor: str | None = None


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    report = Report("users", "user_id", COLUMNS, _read, _shown, _line)
    summary = "What each user used"
    return [report_route(services, report, operation="list_user_usage", summary=summary, answers=UserUses)]


async def _read(services: Services, asked: Asked) -> list[Row]:
    return list(await services.rows(_USED, asked._asdict()))


def _shown(row: Row) -> dict[str, Any]:
    return row | {name: decimal_text(row[name]) for name in ("usd", "provider_cost_usd")}


def _line(shown: dict[str, Any]) -> list[str | int | None]:
    return [shown[name].isoformat() if name.endswith("_day") else shown[name] for name in COLUMNS]
