"""What was generated, spent and refused: by time and by what it was, and by user (S0, S2, S3, S4)."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.http.caller import Call
from api.http.database import Row
from api.http.endpoint import MinPosition, endpoint
from api.http.fields import Currency, QueryDay
from api.http.lists import (
    DEFAULT_DAYS,
    MAX_DAYS,
    MAX_HOUR_DAYS,
    Asked,
    Bom,
    FineBucket,
    Json,
    Report,
    ReportPage,
    Window,
    csv_response,
    report_endpoint,
    seen,
    window,
)
from api.http.policy import May
from api.http.problems import invalid
from domain.money import decimal_text

Metric = Literal[
    "generations", "succeeded", "credits", "tokens", "plan_tokens", "other", "usd", "provider_cost", "margin",
    "refusals",
]  # fmt: skip
GroupBy = Literal[
    "model", "provider", "size", "quality", "feature", "user", "group", "outcome", "reason", "operation", "unit", "none"
]
Name = date | datetime  # of a bucket

MAX_ROWS = 10_000
MONEY = {"usd", "provider_cost", "margin"}
COSTS = {"provider_cost", "margin"}
USD = "USD"

_SUMS: dict[str, str] = {
    "generations": "sum(u.generations) filter (where u.outcome <> 'refused')",
    "succeeded": "sum(u.succeeded)",
    "credits": "sum(u.credits)",
    "tokens": "sum(u.tokens)",
    "plan_tokens": "sum(u.plan_tokens)",
    "other": "sum(u.other)",
    "usd": "sum(u.usd)",
    "refusals": "sum(u.generations) filter (where u.outcome = 'refused')",
}
_KEYS = {
    "model": "u.model",
    "provider": "u.provider",
    "size": "u.size",
    "quality": "u.quality",
    "feature": "u.feature",
    "user": "u.user_id",
    "group": "m.group_id",
    "outcome": "u.outcome",
    "reason": "u.reason",
    "operation": "u.operation",
    "unit": "u.unit",
    "none": "''",
}
_MEMBERS = "join read.members m on m.org = u.org and m.user_id = u.user_id"
_USAGE = """
    select width_bucket(u.at, %(starts)s::timestamptz[]) as bucket, {key} as key, coalesce({sum}, 0) as value
    from read.usage u {members}
    where u.org = %(org)s and u.at >= %(start)s and u.at < %(end)s
    group by 1, 2 having coalesce({sum}, 0) <> 0 order by 1, 3 desc, 2 limit %(limit)s"""
# Amounts of different currencies do not add up: each has its row.
_COSTS = """
    select width_bucket(u.at, %(starts)s::timestamptz[]) as bucket, {key} as key, u.currency,
        sum(u.usd) as usd, sum(u.provider_cost) as cost
    from read.usage u {members}
    where u.org = %(org)s and u.at >= %(start)s and u.at < %(end)s
    group by 1, 2, 3 having sum(u.usd) <> 0 or sum(u.provider_cost) <> 0
    order by 1, abs(sum(u.usd) - sum(u.provider_cost)) desc, 2, 3 limit %(limit)s"""
# Checks that said no are kept by the notifier, beside the generations that were refused.
_CHECKS = """
    select width_bucket(u.at, %(starts)s::timestamptz[]) as bucket, {key} as key, sum(u.refused)::bigint as value
    from (
        select org, at, user_id, operation, 1 + left_out as refused, coalesce(model, '') as model, reason,
            '' as provider, '' as size, '' as quality, '' as feature, '' as unit, 'refused_check' as outcome
        from refused_checks where org = %(org)s and at >= %(start)s and at < %(end)s
    ) u {members}
    group by 1, 2 order by 1, 3 desc, 2 limit %(limit)s"""


class AnalyticsAnswer(BaseModel):
    """`items`: bucket (its first day, an hour's start), key, value; money is a decimal as text in `currency`.

    Use is what accounts were debited less what was refunded, whatever way it came. A user in several groups counts in
    each of them. `checks`: of refusals, how many were only asked for. By `none`, the bucket's sum.
    The period is `starts_at` to `ends_at` (not included): `from` is the organisation's day in which it begins, `to` the
    day after the one in which it ends. `other_currencies`: provider cost that is not in `currency`, and so in no value
    and no total; an item has those of its own.
    """

    metric: str
    group_by: str
    bucket: str
    from_: date = Field(alias="from")
    to: date
    starts_at: datetime
    ends_at: datetime
    time_zone: str
    items: list[dict[str, Any]]
    total: int | str
    currency: str | None = None
    other_currencies: dict[str, str] | None = None
    checks: int | None = None
    truncated: bool


@endpoint("GET /api/v1/analytics", May.READ_EVENTS, AnalyticsAnswer)
async def read_analytics(
    call: Call,
    metric: Metric = "generations",
    group_by: GroupBy = "model",
    bucket: FineBucket = "day",
    format: Literal["json", "csv"] = "json",
    bom: Bom = False,
    from_: Annotated[
        QueryDay | None, Query(alias="from", description=f"{DEFAULT_DAYS} days before `to` by default.")
    ] = None,
    to: Annotated[QueryDay | None, Query(description="Not included; the end of today by default.")] = None,
    currency: Annotated[Currency, Query(description="Of provider cost; margins are in USD.")] = USD,
    min_position: MinPosition = None,
) -> Response:
    """Use, cost and refusals over time."""
    if currency != USD and metric != "provider_cost":
        raise invalid("currency", "must be USD, or the metric provider_cost")
    await seen(call, min_position)
    most = MAX_HOUR_DAYS if bucket == "hour" else MAX_DAYS
    during = await window(call, from_, to, days=min(DEFAULT_DAYS, most), most=most)
    names, starts = zip(*during.buckets(bucket), strict=True) if during.end > during.start else ((), ())
    wanted = {"starts": [*starts], "start": during.start, "end": during.end, "limit": MAX_ROWS + 1}
    parts = {"key": _KEYS[group_by], "members": _MEMBERS if group_by == "group" else ""}
    if metric in COSTS:
        rows = await call.rows(_COSTS.format(**parts), **wanted)
        figures = await call.services.threads.run(_costs, metric, currency, names, rows)
    else:
        rows = await call.rows(_USAGE.format(sum=_SUMS[metric], **parts), **wanted)
        checks = await call.rows(_CHECKS.format(**parts), **wanted) if metric == "refusals" else []
        figures = await call.services.threads.run(_figures, metric, names, rows, checks)
    if format == "csv":
        table = _table(metric, group_by, bucket, figures)
        return await call.services.threads.run(csv_response, "analytics.csv", *table, bom=bom)
    return Json({"metric": metric, "group_by": group_by, "bucket": bucket} | during.shown() | figures)


def _figures(metric: str, names: Sequence[Name], rows: list[Row], checks: list[Row]) -> dict[str, Any]:
    sums: dict[tuple[int, str], int] = {}
    for row in (*rows, *checks):
        where = (row["bucket"], row["key"])
        sums[where] = sums.get(where, 0) + row["value"]
    shown = decimal_text if metric in MONEY else int
    return {
        "items": [_item(names, where, shown(value)) for where, value in _in_order(sums)][:MAX_ROWS],
        "total": shown(sum(sums.values())),
        "currency": USD if metric in MONEY else None,
        "other_currencies": None,
        "checks": sum(row["value"] for row in checks) if metric == "refusals" else None,
        "truncated": len(sums) > MAX_ROWS or len(rows) > MAX_ROWS,
    }


def _costs(metric: str, currency: str, names: Sequence[Name], rows: list[Row]) -> dict[str, Any]:
    """Provider cost in one currency, or what is left of the revenue in USD after it; other currencies beside it."""
    sums: dict[tuple[int, str], int] = {}
    other: dict[tuple[int, str], dict[str, int]] = {}
    totals: dict[str, int] = {}
    for row in rows:
        where = (row["bucket"], row["key"])
        own = row["currency"] in (currency, "")
        cost = row["cost"] if own else 0
        sums[where] = sums.get(where, 0) + (row["usd"] - cost if metric == "margin" else cost)
        if not own and row["cost"]:
            other.setdefault(where, {})[row["currency"]] = row["cost"]
            totals[row["currency"]] = totals.get(row["currency"], 0) + row["cost"]
    answer = []
    for where, value in _in_order(sums):
        if value or where in other:
            item = _item(names, where, decimal_text(value))
            answer.append(item | ({"other_currencies": _decimal(other[where])} if where in other else {}))
    return {
        "items": answer[:MAX_ROWS],
        "total": decimal_text(sum(sums.values())),
        "currency": currency,
        "other_currencies": _decimal(totals),
        "checks": None,
        "truncated": len(rows) > MAX_ROWS,
    }


def _in_order(sums: dict[tuple[int, str], int]) -> list[tuple[tuple[int, str], int]]:
    return sorted(sums.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))


def _item(names: Sequence[Name], where: tuple[int, str], value: int | str) -> dict[str, Any]:
    return {"bucket": names[where[0] - 1], "key": where[1] or None, "value": value}


def _decimal(amounts: dict[str, int]) -> dict[str, str]:
    return {currency: decimal_text(amounts[currency]) for currency in sorted(amounts)}


def _table(metric: str, group_by: str, bucket: str, figures: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """The same as columns and rows; money says in which currency it is, and each other currency has a column."""
    currency = (figures["currency"] or "").lower()
    name = f"{metric}_{currency}" if currency and metric != "usd" else metric
    keys = [] if group_by == "none" else [group_by]
    others = [*(figures["other_currencies"] or {})]
    rows = [
        [
            item["bucket"].isoformat(),
            *([item["key"]] if keys else []),
            item["value"],
            *(item.get("other_currencies", {}).get(other) for other in others),
        ]
        for item in figures["items"]
    ]
    return [bucket, *keys, name, *(f"provider_cost_{other.lower()}" for other in others)], rows


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


class UserUses(ReportPage):
    """Those who used anything from `starts_at` to `ends_at` (not included), by their id.

    `from` is the organisation's day in which that begins, `to` the day after the one in which it ends.
    """

    items: list[UserUse]


async def _read(call: Call, asked: Asked) -> list[Row]:
    rows = await call.rows(_USED, **asked._asdict())
    users = [row["user_id"] for row in rows]
    other: dict[str, dict[str, str]] = {}
    for cost in await call.rows(_OTHER, users=users, start=asked.start, end=asked.end):
        other.setdefault(cost["user_id"], {})[cost["currency"]] = decimal_text(cost["provider_cost"])
    return [row | {"provider_cost_other": other.get(row["user_id"], {})} for row in rows]


def _shown(row: Row, during: Window) -> dict[str, Any]:
    answer = row | {name: decimal_text(row[name]) for name in ("usd", "provider_cost_usd")}
    answer["user_id"] = row["user_id"] or None
    answer["first_day"], answer["last_day"] = during.day(answer.pop("first_at")), during.day(answer.pop("last_at"))
    return answer


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
