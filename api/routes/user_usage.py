"""What each user of the organisation used in a time, for reports (S1)."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field

from api.database import Row
from api.reports import Asked, Report, report_endpoint
from api.services import Services
from api.windows import Window
from domain.money import decimal_text

COLUMNS = (
    *("user_id", "generations", "succeeded", "failed", "refused", "credits", "tokens", "plan_tokens", "usd"),
    *("provider_cost_usd", "provider_cost_other", "first_day", "last_day"),
)
# What was spent is net of refunds.
_USED = """
    select user_id,
        coalesce(sum(generations) filter (where outcome <> 'refused'), 0) as generations,
        sum(succeeded) as succeeded,
        coalesce(sum(generations) filter (where outcome = 'failed'), 0) as failed,
        coalesce(sum(generations) filter (where outcome = 'refused'), 0) as refused,
        sum(credits) as credits, sum(tokens) as tokens, sum(plan_tokens) as plan_tokens,
        sum(usd) as usd,
        coalesce(sum(provider_cost) filter (where currency in ('USD', '')), 0) as provider_cost_usd,
        min(at) as first_at, max(at) as last_at
    from read.usage
    where org = %(org)s and at >= %(start)s and at < %(end)s and (%(after)s::text is null or user_id > %(after)s)
    group by user_id order by user_id limit %(limit)s"""
_OTHER = """
    select user_id, currency, sum(provider_cost) as provider_cost from read.usage
    where org = %(org)s and at >= %(start)s and at < %(end)s and user_id = any(%(users)s)
      and currency not in ('USD', '') and provider_cost <> 0
    group by 1, 2 order by 1, 2"""


class UserUse(BaseModel):
    """What one user used. `credits`, `tokens`, `plan_tokens` and `usd` are what was charged, less what was refunded.

    `user_id` is null for what accounts of organisations and groups paid for no user that is known.
    `provider_cost_other`: what was paid to providers in other currencies than USD, by currency.
    """

    user_id: str | None
    generations: int
    succeeded: int
    failed: int
    refused: int
    credits: int
    tokens: int
    plan_tokens: int
    usd: str
    provider_cost_usd: str
    provider_cost_other: dict[str, str]
    first_day: date
    last_day: date


class UserUses(BaseModel):
    """Those who used anything from `starts_at` to `ends_at` (not included), by their id.

    `from` is the organisation's day in which that begins, `to` the day after the one in which it ends.
    """

    from_: date = Field(alias="from")
    to: date
    starts_at: datetime
    ends_at: datetime
    time_zone: str
    items: list[UserUse]
    next_cursor: str | None = None


async def _read(services: Services, asked: Asked) -> list[Row]:
    rows = await services.rows(_USED, asked._asdict())
    wanted = {**asked._asdict(), "users": [row["user_id"] for row in rows]}
    other: dict[str, dict[str, str]] = {}
    for cost in await services.rows(_OTHER, wanted):
        other.setdefault(cost["user_id"], {})[cost["currency"]] = decimal_text(cost["provider_cost"])
    return [row | {"provider_cost_other": other.get(row["user_id"], {})} for row in rows]


def _shown(row: Row, during: Window) -> dict[str, Any]:
    told = row | {name: decimal_text(row[name]) for name in ("usd", "provider_cost_usd")}
    told["user_id"] = row["user_id"] or None
    told["first_day"], told["last_day"] = during.day(told.pop("first_at")), during.day(told.pop("last_at"))
    return told


def _line(shown: dict[str, Any]) -> list[str | int | None]:
    other = ", ".join(f"{amount} {currency}" for currency, amount in shown["provider_cost_other"].items())
    cells = shown | {"provider_cost_other": other}
    return [cells[name].isoformat() if name.endswith("_day") else cells[name] for name in COLUMNS]


list_user_usage = report_endpoint(
    Report("users", "user_id", COLUMNS, _read, _shown, _line),
    name="list_user_usage",
    summary="What each user used",
    answers=UserUses,
)
