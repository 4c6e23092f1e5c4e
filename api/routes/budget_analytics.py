"""What a user has spent: the attempts, their sums, alerts, and whether budgets are well (S2)."""

from typing import Any, Literal

from api.budget_answers import CURRENCY, alerts_of, budget_now
from api.database import UNREACHABLE, Row
from api.fields import UserId
from api.http.caller import Call
from api.http.endpoint import MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.problems import Problem
from api.reading import Json, cursors, seen
from api.routes.budgets import whose
from api.routes.health import UNHEALTHY_FROM, Condition
from api.schemas import page_of
from api.schemas_groups import BudgetAlerts, BudgetAnalytics, BudgetHealth, CostRow
from api.services import Services
from domain.money import decimal_text
from infra.position import format_position

LAST = 2**62
UNNAMED = "unknown"  # what cost is put under that names no size or quality
_COSTS = """
    select position, kind, id, user_id, usd, success, size, quality, generation_time_ms, sealed, created_at
    from read.costs where org = %(org)s and user_id = %(user)s and position < %(before)s
    order by position desc limit %(limit)s"""
_CONTENTS = """
    select distinct on (generation_id) generation_id, sealed from read.contents
    where org = %(org)s and generation_id = any(%(ids)s) and sealed is not null and deleted_at is null
    order by generation_id, created_position, id"""
_BACK = {"week": "7 days", "month": "1 month", "year": "1 year"}
# A refund is below zero and no attempt of its own; what an attempt cost counts only if it succeeded.
_ANALYTICS = """
    with span as (select scrip_now() - %(back)s::interval as start, scrip_now() as now),
    taken as (
        select case when c.success then c.usd else 0 end as spent, c.kind <> 'refund' as attempt, c.success,
            coalesce(c.size, %(unnamed)s) as size, coalesce(c.quality, %(unnamed)s) as quality
        from read.costs c, span
        where c.org = %(org)s and c.user_id = %(user)s and c.created_at >= span.start and c.created_at <= span.now
    )
    select span.start as "from", span.now as "to",
        coalesce((select sum(spent) from taken), 0) as spent,
        (select count(*) from taken where attempt) as attempts,
        (select count(*) from taken where attempt and success) as successes,
        (select coalesce(jsonb_object_agg(size, spent), '{}')
            from (select size, sum(spent) as spent from taken group by size) s) as by_size,
        (select coalesce(jsonb_object_agg(quality, spent), '{}')
            from (select quality, sum(spent) as spent from taken group by quality) q) as by_quality
    from span"""
_READABLE = "select 1 from read.costs where org = %(org)s limit 1"

PeriodName = Literal["week", "month", "year"]


@endpoint("GET /api/v1/budgets/me/costs", May.READ_BUDGETS, page_of(CostRow))
async def list_my_costs(
    call: Call, user_id: UserId = None, limit: Limit = 50, cursor: CursorText = None, min_position: MinPosition = None
) -> Json:
    """Attempts and what they cost."""
    user = whose(call, user_id)
    await seen(call, min_position)
    pages = cursors(call, "costs", user)
    before = pages.decode(cursor, int)[0] if cursor else LAST
    wanted = {"org": call.org, "user": user, "before": before, "limit": limit + 1}
    page = pages.page(await call.services.rows(_COSTS, wanted), limit, lambda row: [row["position"]], lambda row: row)
    made = [row["id"] for row in page["items"] if row["kind"] == "generation"]
    contents = await call.services.rows(_CONTENTS, {"org": call.org, "ids": made}) if made else []
    page["items"] = await call.services.threads.run(_shown, call.services, call.org, page["items"], contents)
    return Json(page)


@endpoint("GET /api/v1/budgets/me/analytics", May.READ_BUDGETS, BudgetAnalytics)
async def read_budget_analytics(
    call: Call, period: PeriodName = "month", user_id: UserId = None, min_position: MinPosition = None
) -> Json:
    """Sums of what was spent."""
    user = whose(call, user_id)
    await seen(call, min_position)
    wanted = {"org": call.org, "user": user, "back": _BACK[period], "unnamed": UNNAMED}
    (row,) = await call.services.rows(_ANALYTICS, wanted)
    return Json({"user_id": user, "period": period, **_sums(row)})


@endpoint("GET /api/v1/budgets/me/alerts", May.READ_BUDGETS, BudgetAlerts)
async def read_budget_alerts(call: Call, user_id: UserId = None) -> Json:
    """How near the end is."""
    answered = await budget_now(call, whose(call, user_id))
    return Json({"alerts": alerts_of(answered.value), "position": format_position(answered.position)})


@endpoint("GET /api/v1/budgets/health", May.READ_BUDGETS, BudgetHealth)
async def read_budget_health(call: Call) -> Json:
    """Are budgets well."""
    issues = await call.services.single(Condition).issues() + await _of_budgets(call)
    status = "healthy" if not issues else "degraded" if len(issues) < UNHEALTHY_FROM else "unhealthy"
    return Json({"status": status, "issues": issues})


def _shown(services: Services, org: str, rows: list[Row], contents: list[Row]) -> list[dict[str, Any]]:
    """A recorded cost has its image's URL in its own text, a generation has it with the first object that it stored."""
    sealed = {row["generation_id"]: row["sealed"] for row in contents}
    shown = []
    for row in rows:
        owner = f"user:{row['user_id']}"
        text = services.sealer.open(org, owner, row.pop("sealed")) or {}
        if row["kind"] == "generation" and row["id"] in sealed:
            url = (services.sealer.open(org, owner, sealed[row["id"]]) or {}).get("url")
            text = text | {"image_url": url}
        shown.append(_cost(row, text))
    return shown


def _cost(row: Row, text: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("id", "kind", "user_id", "size", "quality", "success", "generation_time_ms")},
        "cost": decimal_text(row["usd"]),
        "currency": CURRENCY,
        **{name: text.get(name) for name in ("prompt", "image_url", "error_message")},
        "created_at": row["created_at"],
        "position": format_position(row["position"]),
    }


def _sums(row: Row) -> dict[str, Any]:
    """Refunds may be of attempts before `from`; then what was spent is shown as nothing rather than below it."""
    spent = max(0, row["spent"])
    average = spent // row["attempts"] if row["attempts"] else 0
    return {
        "from": row["from"],
        "to": row["to"],
        "total_spent": decimal_text(spent),
        "total_generations": row["attempts"],
        "successful_generations": row["successes"],
        "average_cost": decimal_text(average),
        "cost_by_size": _by(row["by_size"]),
        "cost_by_quality": _by(row["by_quality"]),
        "currency": CURRENCY,
    }


def _by(sums: dict[str, int]) -> dict[str, str]:
    return {name: decimal_text(max(0, spent)) for name, spent in sums.items()}


async def _of_budgets(call: Call) -> list[str]:
    """What is wrong with budgets themselves: each is tried."""
    issues = []
    try:
        await budget_now(call, call.principal.sub)
    except Problem:
        issues.append("Budgets cannot be read or checked at the moment.")
    try:
        await call.services.rows(_READABLE, {"org": call.org})
    except UNREACHABLE:
        issues.append("The history of costs cannot be read at the moment.")
    return issues
