"""Use, spending and refusals over time and by what they were; when things run out."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from console.pages import Pages
from console.person import INSPECTORS, PLATFORM_READERS
from console.visit import Visit, day

ANALYTICS = "/api/v1/analytics"
METRICS = {
    "generations": "Generations",
    "succeeded": "Successful outputs",
    "credits": "Credits charged",
    "tokens": "Tokens charged",
    "plan_tokens": "Plan tokens used",
    "usd": "Money spent (USD)",
    "provider_cost": "Provider cost (USD)",
    "margin": "Margin (USD)",
    "other": "Charged in other units",
    "refusals": "Blocked attempts",
}
GROUPINGS = {
    "model": "Model",
    "provider": "Provider",
    "operation": "Operation",
    "size": "Size",
    "quality": "Quality",
    "feature": "Feature",
    "user": "User",
    "group": "Group",
    "outcome": "Outcome",
    "reason": "Reason",
    "unit": "Unit of the account",
    "none": "Total",
}
BUCKETS = {"day": "Day", "week": "Week", "month": "Month"}
FORECASTS = 30  # accounts that are looked at
MOST_SERIES = 5  # more would be unreadable; the rest is one series
PERIODS = (7, 30, 90, 365)  # days that are one click away

pages = Pages()


@pages.get("/analytics", INSPECTORS)
async def analytics(visit: Visit) -> Response:
    """A metric by a grouping over time, the top features, blocked attempts, and what runs out."""
    asked = _asked(visit)
    found, features, blocked, operations, risks = await asyncio.gather(
        visit.api.get(ANALYTICS, **asked),
        _summed(visit, asked, "plan_tokens", "feature"),
        _summed(visit, asked, "refusals", "reason"),
        _summed(visit, asked, "refusals", "operation"),
        _risks(visit),
    )
    first, end = date.fromisoformat(found["from"]), date.fromisoformat(found["to"])
    asked["from_"] = found["from"]
    labels = buckets(first, end, asked["bucket"])
    return visit.render(
        "analytics/analytics.html",
        asked=asked,
        found=found,
        labels=labels,
        series=charted(found["items"], labels),
        totals=totals(found["items"]),
        features=features[:10],
        blocked=blocked,
        operations=operations,
        risks=risks,
        periods=_periods(visit, first, end - timedelta(days=1)),
        metrics=METRICS,
        groupings=GROUPINGS,
        buckets=BUCKETS,
    )


@pages.get("/analytics/parts/forecasts", INSPECTORS)
async def forecasts(visit: Visit) -> Response:
    """What runs out first. It folds every movement of two weeks, so the page does not wait for it."""
    found = await visit.api.get("/api/v1/forecasts", limit=FORECASTS)
    ending = sorted((each for each in found["items"] if each["runs_out_at"]), key=lambda each: each["runs_out_at"])
    return visit.render(
        "analytics/forecasts_part.html",
        forecasts=ending[:10],
        method=found["method"],
        more=found["next_cursor"] is not None,
        most=FORECASTS,
        accounts_page=_account_page,
    )


@pages.get("/analytics/export", INSPECTORS)
async def export(visit: Visit) -> Response:
    """The same figures as a file."""
    asked = _asked(visit)
    name = f"{asked['metric']}-by-{asked['group_by']}.csv"
    return await visit.download(ANALYTICS, name, **asked, format="csv", bom=True)


def buckets(first: date, end: date, bucket: str) -> list[str]:
    """The days, weeks or months (their first days) from `first` to before `end`, also those without anything."""
    days = [first + timedelta(days=number) for number in range((end - first).days)]
    return list(dict.fromkeys(_beginning(each, bucket).isoformat() for each in days))


def _beginning(of: date, bucket: str) -> date:
    if bucket == "week":
        return of - timedelta(days=of.weekday())
    return of.replace(day=1) if bucket == "month" else of


def charted(items: list[dict[str, Any]], labels: list[str]) -> list[dict[str, Any]]:
    """A series for each of the largest keys; what the others have is one series more."""
    keys = [key for key, _ in totals(items)[:MOST_SERIES]]
    series = [_series(str(key or "none"), labels, [each for each in items if each["key"] == key]) for key in keys]
    others = [each for each in items if each["key"] not in keys]
    return [*series, _series("others", labels, others)] if others else series


def totals(items: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    """The sum of each key, the largest first; money stays text with its decimals."""
    sums: dict[Any, Any] = {}
    for each in items:
        sums[each["key"]] = sums.get(each["key"], 0) + _number(each["value"])
    return sorted(sums.items(), key=lambda pair: -pair[1])


def _series(label: str, labels: list[str], items: list[dict[str, Any]]) -> dict[str, Any]:
    sums = dict.fromkeys(labels, 0)
    for each in items:
        sums[each["bucket"]] += _number(each["value"])
    return {"label": label, "values": [sums[label] for label in labels]}


def _number(value: Any) -> Any:
    """A count, or dollars for a chart; sums of it are shown, never charged."""
    return value if isinstance(value, int) else round(float(value), 6)


def _asked(visit: Visit) -> dict[str, str]:
    def chosen(name: str, known: dict[str, str]) -> str:
        value = visit.query.get(name, "")
        return value if value in known else next(iter(known))

    asked = {
        "metric": chosen("metric", METRICS),
        "group_by": chosen("group_by", GROUPINGS),
        "bucket": chosen("bucket", BUCKETS),
    }
    times = {"from_": day(visit.query.get("from")), "to": day(visit.query.get("to"), after=1)}
    return asked | {name: when for name, when in times.items() if when}


def _periods(visit: Visit, shown: date, last: date) -> list[tuple[str, str, bool]]:
    """Periods up to today: words, address, and whether it is the one shown, which is from `shown` to `last`."""
    ended = bool(visit.query.get("to"))
    today = datetime.now(UTC).date() if ended else last
    kept = {name: value for name, value in visit.query.items() if name in ("metric", "group_by", "bucket")}
    found = []
    for days in PERIODS:
        first = (today - timedelta(days=days - 1)).isoformat()
        address = f"/analytics?{urlencode({**kept, 'from': first})}"
        found.append((f"{days} days", address, first == shown.isoformat() and not ended))
    return found


def _account_page(address: str) -> str:
    """Where an account's owner is shown; empty where there is no such page."""
    kind, _, rest = address.partition(":")
    return f"/support/users/{quote(rest.rpartition(':')[0], safe='')}" if kind == "user" else ""


async def _summed(visit: Visit, asked: dict[str, str], metric: str, group_by: str) -> list[tuple[Any, Any]]:
    """The sums of another figure in the same period, the largest first."""
    chosen = {**asked, "metric": metric, "group_by": group_by, "bucket": "month"}
    return totals((await visit.api.get(ANALYTICS, **chosen))["items"])


async def _risks(visit: Visit) -> list[Any] | None:
    """Organisations about to run out; None for who may not see others."""
    if visit.person.role not in PLATFORM_READERS:
        return None
    found: list[Any] = (await visit.api.get("/api/v1/organisations/at-risk"))["items"]
    return found
