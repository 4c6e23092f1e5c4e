"""One group: what it used over time beside its limits, the trend, and the report for a spreadsheet."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from starlette.responses import Response

from console.admin.form_values import in_path
from console.pages import Pages
from console.person import ADMINS
from console.visit import Visit

PATH = "/admin/groups/{id}"
KINDS = (("image", "Images"), ("video", "Videos"))

pages = Pages()


class Span(NamedTuple):
    """A stretch of time to look at, in buckets."""

    label: str
    days: int
    bucket: str


SPANS = {
    "14d": Span("14 days", 14, "day"),
    "30d": Span("30 days", 30, "day"),
    "13w": Span("13 weeks", 91, "week"),
    "12m": Span("12 months", 365, "month"),
}
DEFAULT = "30d"


@pages.get(PATH, ADMINS)
async def group(visit: Visit) -> Response:
    """The whole page."""
    name, span = _span(visit)
    found = await visit.api.get(_api(visit))
    usage, before = await _usage(visit, span)
    return visit.render(
        "admin/group.html",
        group=found,
        usage=usage,
        spans=SPANS,
        span=span,
        chosen=name,
        trends=[_trend(usage, before, kind, label) for kind, label in KINDS],
        against=_against_limits(found, usage),
        labels=[_label(item["start"], span.bucket) for item in usage["items"]],
    )


@pages.get(PATH + "/now", ADMINS)
async def now(visit: Visit) -> Response:
    """The bars alone, whenever the ledger has news; nothing changes once the group is deleted."""
    found = await visit.api.get_or_none(_api(visit))
    return visit.render("admin/group_now_part.html", group=found) if found else Response(status_code=204)


@pages.get(PATH + "/usage.csv", ADMINS)
async def report(visit: Visit) -> Response:
    """Limit against actual by bucket, for a spreadsheet."""
    _, span = _span(visit)
    query = {"from_": visit.query.get("from"), "to": visit.query.get("to")}
    path = f"{_api(visit)}/usage"
    return await visit.download(path, "group-usage.csv", format="csv", bom=True, bucket=span.bucket, **query)


def _api(visit: Visit) -> str:
    return f"/api/groups/{in_path(visit.path['id'])}"


def _span(visit: Visit) -> tuple[str, Span]:
    name = visit.query.get("span", DEFAULT)
    return (name, SPANS[name]) if name in SPANS else (DEFAULT, SPANS[DEFAULT])


async def _usage(visit: Visit, span: Span) -> tuple[dict[str, Any], dict[str, Any]]:
    """The use in the span, and in as long a time before it."""
    path = f"{_api(visit)}/usage"
    to = datetime.fromisoformat((await visit.api.get(path))["to"])
    start = to - timedelta(days=span.days)
    earlier = start - timedelta(days=span.days)
    usage = await visit.api.get(path, from_=start.isoformat(), to=to.isoformat(), bucket=span.bucket)
    before = await visit.api.get(path, from_=earlier.isoformat(), to=start.isoformat(), bucket=span.bucket)
    return usage, before


def _trend(usage: dict[str, Any], before: dict[str, Any], kind: str, label: str) -> dict[str, Any]:
    """The sum, and by how much it is more or less than before; without an earlier use there is no percentage."""
    total, earlier = (sum(item[kind] for item in each["items"]) for each in (usage, before))
    change = (total - earlier) * 100 // earlier if earlier else None
    return {"label": label, "total": total, "earlier": earlier, "change": change}


def _against_limits(found: dict[str, Any], usage: dict[str, Any]) -> list[dict[str, Any]]:
    """Lines for a chart, each limit beside what counts against it; empty where nothing is limited.

    Without a period that is all use up to then, reckoned back from what is used now. With one it is the bucket's own
    use, which says something only where buckets are periods.
    """
    if found["period"] not in ("total", usage["bucket"]):
        return []
    series = []
    for kind, label in KINDS:
        limit = found[f"{kind}_limit"]
        if limit is None:
            continue
        own = [item[kind] for item in usage["items"]]
        used = _running(own, found["usage"][kind]) if found["period"] == "total" else own
        series.append({"label": f"{label} used", "values": used})
        series.append({"label": f"{label}: limit", "values": [limit] * len(own)})
    return series


def _running(own: list[int], total: int) -> list[int]:
    running = []
    for amount in reversed(own):
        running.append(total)
        total -= amount
    return running[::-1]


def _label(start: str, bucket: str) -> str:
    day = datetime.fromisoformat(start)
    return f"{day:%b %Y}" if bucket == "month" else f"{day:%d %b}"
