"""What was generated, spent and refused, by day, week or month and by what it was (S0, S2, S3, S4)."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.csv_text import Bom, csv_response
from api.current import database_time
from api.fields import QueryTime
from api.operation import Call
from api.problems import invalid
from api.reading import Json, MinPosition, between, seen
from api.routing import ReadRoute, call_of
from api.services import Row, Services
from domain.money import decimal_text

Metric = Literal[
    "generations", "succeeded", "credits", "tokens", "plan_tokens", "usd", "provider_cost", "margin", "refusals"
]
GroupBy = Literal[
    "model", "provider", "size", "quality", "feature", "user", "group", "outcome", "reason", "operation", "none"
]
Bucket = Literal["day", "week", "month"]

DEFAULT_DAYS = 30
MAX_DAYS = 800
MAX_ROWS = 10_000
MONEY = {"usd", "provider_cost", "margin"}

_SUMS: dict[str, str] = {
    "generations": "sum(u.generations) filter (where u.outcome <> 'refused')",
    "succeeded": "sum(u.succeeded)",
    "credits": "sum(u.credits)",
    "tokens": "sum(u.tokens)",
    "plan_tokens": "sum(u.plan_tokens)",
    "usd": "sum(u.usd)",
    # Only of what is paid in USD: amounts of different currencies do not add up.
    "provider_cost": "sum(u.provider_cost) filter (where u.currency in ('USD', ''))",
    "margin": "sum(u.usd) - coalesce(sum(u.provider_cost) filter (where u.currency in ('USD', '')), 0)",
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
    "none": "''",
}
_MEMBERS = "join read.members m on m.org = u.org and m.user_id = u.user_id"
_USAGE = """
    select date_trunc(%(bucket)s, u.day::timestamp)::date as bucket, {key} as key, coalesce({sum}, 0)::bigint as value
    from read.usage_daily u {members}
    where u.org = %(org)s and u.day >= %(first)s and u.day < %(last)s
    group by 1, 2 having coalesce({sum}, 0) <> 0 order by 1, 3 desc, 2 limit %(limit)s"""
# Checks that said no are kept by the notifier, beside the generations that were refused.
_CHECKS = """
    select date_trunc(%(bucket)s, (u.at at time zone 'UTC'))::date as bucket, {key} as key, count(*)::bigint as value
    from (
        select org, at, user_id, operation, coalesce(model, '') as model, reason, '' as provider, '' as size,
            '' as quality, '' as feature, 'refused_check' as outcome
        from refused_checks where org = %(org)s and at >= %(first)s and at < %(last)s
    ) u {members}
    group by 1, 2 order by 1, 3 desc, 2 limit %(limit)s"""
# Plan tokens are also used without a generation.
_DEDUCTED = """
    select date_trunc(%(bucket)s, (u.at at time zone 'UTC'))::date as bucket, {key} as key,
        sum(u.tokens)::bigint as value
    from (
        select org, at, coalesce(user_id, '') as user_id, coalesce(feature, '') as feature, tokens, '' as operation,
            '' as model, '' as reason, '' as provider, '' as size, '' as quality, 'deducted' as outcome
        from read.token_usage
        where org = %(org)s and at >= %(first)s and at < %(last)s and generation_id is null
    ) u {members}
    group by 1, 2 order by 1, 3 desc, 2 limit %(limit)s"""
_BESIDE = {"refusals": _CHECKS, "plan_tokens": _DEDUCTED}


class AnalyticsAnswer(BaseModel):
    """`items`: bucket (its first day, UTC), key, value; money is a decimal as text in `currency`.

    A user in several groups counts in each of them. `checks`: of refusals, how many were only asked for. Plan tokens
    include those used without a generation. By `none`, the bucket's sum.
    """

    metric: str
    group_by: str
    bucket: str
    from_: date = Field(alias="from")
    to: date
    items: list[dict[str, Any]]
    total: int | str
    currency: str | None = None
    checks: int | None = None
    truncated: bool


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def read_analytics(
        call: Annotated[Call, Depends(call_of)],
        metric: Metric = "generations",
        group_by: GroupBy = "model",
        bucket: Bucket = "day",
        format: Literal["json", "csv"] = "json",  # noqa: A002 - the name that reads with a format share
        bom: Bom = False,
        from_: Annotated[QueryTime | None, Query(alias="from", description="30 days before `to` by default.")] = None,
        to: QueryTime | None = None,
        min_position: MinPosition = None,
    ) -> Response:
        between(from_, to)
        await seen(services, call, min_position)
        first, last = whole_days(await database_time(services), from_, to)
        wanted = {"org": call.org, "bucket": bucket, "first": first, "last": last, "limit": MAX_ROWS + 1}
        parts = {"key": _KEYS[group_by], "members": _MEMBERS if group_by == "group" else ""}
        rows = await services.rows(_USAGE.format(sum=_SUMS[metric], **parts), wanted)
        beside: list[Row] = []
        if metric in _BESIDE:
            beside = await services.rows(_BESIDE[metric].format(**parts), wanted)
        figures = _figures(metric, rows, beside)
        if format == "csv":
            return csv_response("analytics.csv", *_table(metric, group_by, bucket, figures["items"]), bom=bom)
        told = {"metric": metric, "group_by": group_by, "bucket": bucket, "from": first, "to": last}
        return Json(told | figures)

    return [
        ReadRoute(
            "GET",
            "/api/v1/analytics",
            read_analytics,
            services,
            operation="read_analytics",
            summary="Use, cost and refusals over time",
            answers=AnalyticsAnswer,
        )
    ]


def whole_days(now: datetime, from_: datetime | None, to: datetime | None) -> tuple[date, date]:
    """Whole UTC days: the first, and the one after the last. Raises Problem (422) for too many."""
    end = to or now
    last = end.astimezone(UTC).date()
    if to is None or end.astimezone(UTC).time() != datetime.min.time():
        last += timedelta(days=1)  # the day that has begun
    first = from_.astimezone(UTC).date() if from_ else last - timedelta(days=DEFAULT_DAYS)
    if (last - first).days > MAX_DAYS:
        raise invalid("from", f"must not be more than {MAX_DAYS} days before to", limit=MAX_DAYS)
    return first, last


def _figures(metric: str, rows: list[Row], beside: list[Row]) -> dict[str, Any]:
    sums: dict[tuple[date, str], int] = {}
    for row in (*rows, *beside):
        where = (row["bucket"], row["key"])
        sums[where] = sums.get(where, 0) + row["value"]
    money = metric in MONEY
    items = [
        {"bucket": bucket, "key": key or None, "value": decimal_text(value) if money else value}
        for (bucket, key), value in sorted(sums.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    ]
    total = sum(sums.values())
    return {
        "items": items[:MAX_ROWS],
        "total": decimal_text(total) if money else total,
        "currency": "USD" if money else None,
        "checks": sum(row["value"] for row in beside) if metric == "refusals" else None,
        "truncated": len(items) > MAX_ROWS,
    }


def _table(metric: str, group_by: str, bucket: str, items: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """The same as columns and rows; money says in which currency it is."""
    name = f"{metric}_usd" if metric in MONEY and metric != "usd" else metric
    keys = [] if group_by == "none" else [group_by]
    rows = [[item["bucket"].isoformat(), *([item["key"]] if keys else []), item["value"]] for item in items]
    return [bucket, *keys, name], rows
