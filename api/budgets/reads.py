"""What is left of a budget, whether a cost fits, costs of what was generated elsewhere, and their sums (S2)."""

from asyncio import gather
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from api.budgets.answers import (
    CURRENCY,
    BudgetAlerts,
    BudgetAnalytics,
    BudgetAnswer,
    BudgetChecked,
    BudgetHealth,
    CostResults,
    CostRow,
    alerts_of,
    budget_answer,
    budget_now,
    settings_tag,
)
from api.generations.commands import Milliseconds, Prompt
from api.http.caller import Call, own_only, seen_user, user_of
from api.http.command import execute_all, key_reused, require_room
from api.http.current import ask, read_current
from api.http.database import UNREACHABLE, Row
from api.http.endpoint import REPLAYED, MinPosition, endpoint, invalid_body
from api.http.fields import Body, Id, Label, Text, Usd, UserId
from api.http.limits import Begins
from api.http.lists import Json, Page, page_of, seen
from api.http.policy import May
from api.http.problems import Problem, away, refused
from api.http.services import Services
from api.operator.health import UNHEALTHY_FROM, Condition
from domain.budgets.commands import BudgetCheck, CheckBudget, RecordCost
from domain.money import decimal_text, micros
from domain.organisations import state as organisations
from domain.refusal import Refusal
from domain.resources.budget import BUDGET
from domain.wording import usd_text
from infra.position import format_position
from infra.writer.submission import KeyReused, NotApplied, Outcome, Refused

MAX_ENTRIES = 1_000
MAX_COSTS_BODY = 4_194_304  # 1,000 entries of 4 KiB, with a prompt and a signed URL
EXISTS = "exists"


class CheckBody(Body):
    """What a generation is expected to cost, for whom."""

    expected_cost: Usd
    user_id: Id | None = None


class CostBody(Body):
    """One attempt; `cost` counts only with `success`. The same `id` counts once in the organisation.

    The same attempt again is answered `duplicate`; another user or other figures under its id `cost_id_reused`.
    """

    id: Id
    user_id: Id
    cost: Usd
    currency: Literal["USD"] = "USD"
    success: bool
    size: Label | None = None
    quality: Label | None = None
    prompt: Prompt | None = None
    image_url: Annotated[str, StringConstraints(min_length=1, max_length=4_000)] | None = None
    generation_time_ms: Milliseconds | None = None
    error_message: Text | None = None


class CostsBody(Body):
    """Up to 1,000 entries, of one or several users; one that is wrong does not stop the others."""

    entries: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ENTRIES)]


_ENTRY: TypeAdapter[CostBody] = TypeAdapter(CostBody)


def whose(call: Call, user_id: str | None) -> str:
    """The user named, else the caller. Raises Problem (403) for a user who names another."""
    return seen_user(call, user_id) or call.principal.sub


async def _answer(call: Call, user: str) -> Json:
    answered = await budget_now(call, user)
    return Json(budget_answer(user, answered), headers={"ETag": settings_tag(answered.value)})


@endpoint("GET /api/v1/budgets/me", May.READ_BUDGETS, BudgetAnswer)
async def read_my_budget(call: Call, user_id: UserId = None) -> Json:
    """The month's budget and what is used of it."""
    return await _answer(call, whose(call, user_id))


@endpoint("GET /api/v1/users/{id}/budget", May.READ_BUDGETS, BudgetAnswer)
async def read_budget(call: Call, id: str) -> Json:
    """A user's budget."""
    own_only(call, id)
    return await _answer(call, id)


@endpoint("POST /api/v1/budgets/check", May.READ_BUDGETS, BudgetChecked, keyed=False)
async def check_budget(call: Call, body: CheckBody) -> dict[str, Any]:
    """Whether an expected cost still fits into the month's budget.

    Where the organisation does not have budgets checked, everything is allowed.
    """
    expected = micros(body.expected_cost)
    question = CheckBudget(user=user_of(call, body.user_id), expected=expected)
    try:
        answered, now = await gather(
            ask(call.services, call.org, question), read_current(call.services, call.org, organisations.STREAM)
        )
    except Refusal as refusal:
        call.services.metrics.refused("check_budget", refusal.code)
        raise refused(Refused.of(refusal)) from None
    checked: BudgetCheck = answered.value
    enforced: bool = now.states[organisations.STREAM].enforces(BUDGET.name)
    allowed = checked.allowed or not enforced
    missing = f"{usd_text(expected)} is more than the {usd_text(checked.remaining)} left of this month's budget."
    return {
        "allowed": allowed,
        "reason": "ok" if allowed else checked.reason,
        "message": None if allowed else missing,
        "expected_cost": decimal_text(expected),
        "remaining": decimal_text(checked.remaining),
        "currency": CURRENCY,
        "enforced": enforced,
        "position": format_position(answered.position),
    }


@endpoint("POST /api/v1/budgets/costs", May.RECORD_COSTS, CostResults, max_bytes=MAX_COSTS_BODY)
async def record_costs(call: Call, body: CostsBody) -> Json:
    """Record what attempts made elsewhere have cost.

    Each entry is a command of its own. A key of the request protects each of them by its place.
    """
    require_room(call.services)
    call.services.free_writes.check(call.principal, call.org)
    read = [_entry(call, raw) for raw in body.entries]
    entries = [entry for entry in read if isinstance(entry, CostBody)]
    for user in {entry.user_id for entry in entries}:
        await call.services.room.take(call.org, Begins("budget", user))
    try:
        sealed = await call.services.threads.run(_seal, call.services, call.org, entries)
    except UNREACHABLE as error:
        raise away(error) from None
    items = [
        call.submission(_command(*each), part=str(place))
        for place, each in enumerate(zip(entries, sealed, strict=True))
    ]
    # With a key the first goes ahead: where the key stands for another request, nothing of this one may be done.
    ahead = 1 if call.key else 0
    found = await execute_all(call.services, items[:ahead])
    if any(isinstance(each, KeyReused) for each in found):
        raise key_reused()
    found += await execute_all(call.services, items[ahead:])
    rest = iter(found)
    results = [
        _result(raw.get("id"), entry if isinstance(entry, Problem) else next(rest))
        for raw, entry in zip(body.entries, read, strict=True)
    ]
    outcomes = [each for each in found if isinstance(each, Outcome)]
    for each in outcomes:
        if each.refusal is not None and not each.replayed:
            call.services.free_writes.count(call.principal, call.org)
    position = max((each.position for each in outcomes), default=None)
    told = {"results": results, "position": None if position is None else format_position(position)}
    replayed = bool(outcomes) and all(each.replayed for each in outcomes)
    return Json(told, headers=REPLAYED if replayed else None)


def _entry(call: Call, raw: dict[str, Any]) -> CostBody | Problem:
    try:
        return _ENTRY.validate_python(raw)
    except ValidationError as error:
        return invalid_body(error, call.principal)


def _seal(services: Services, org: str, entries: list[CostBody]) -> list[str | None]:
    return [
        services.sealer.seal(
            org,
            f"user:{entry.user_id}",
            {"prompt": entry.prompt, "image_url": entry.image_url, "error_message": entry.error_message},
        )
        for entry in entries
    ]


def _command(entry: CostBody, sealed: str | None) -> RecordCost:
    return RecordCost(
        user=entry.user_id,
        cost_id=entry.id,
        usd=micros(entry.cost),
        success=entry.success,
        size=entry.size,
        quality=entry.quality,
        generation_time_ms=entry.generation_time_ms,
        sealed=sealed,
    )


def _result(id_: object, result: Problem | Outcome | KeyReused | NotApplied) -> dict[str, Any]:
    told: dict[str, Any] = {"id": id_ if isinstance(id_, str) else None, "status": "ok", "error": None}
    if isinstance(result, Outcome):
        if result.refusal is None:
            return told
        if result.refusal.code == EXISTS:
            return told | {"status": "duplicate", "error": result.refusal.detail, "code": EXISTS}
        result = refused(result.refusal)
    problem = result if isinstance(result, Problem) else key_reused()
    return told | {"status": "error", "error": problem.detail, "code": problem.code, "field": problem.field}


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
async def list_my_costs(call: Call, page: Page, user_id: UserId = None) -> dict[str, Any]:
    """Attempts and what they cost."""
    user = whose(call, user_id)
    pages = await page.of(call, "costs", user)
    (before,) = pages.after(LAST)
    wanted = {"org": call.org, "user": user, "before": before, "limit": pages.more}
    told = pages.page(await call.services.rows(_COSTS, wanted), lambda row: [row["position"]])
    made = [row["id"] for row in told["items"] if row["kind"] == "generation"]
    contents = await call.services.rows(_CONTENTS, {"org": call.org, "ids": made}) if made else []
    told["items"] = await call.services.threads.run(_shown, call.services, call.org, told["items"], contents)
    return told


@endpoint("GET /api/v1/budgets/me/analytics", May.READ_BUDGETS, BudgetAnalytics)
async def read_budget_analytics(
    call: Call, period: PeriodName = "month", user_id: UserId = None, min_position: MinPosition = None
) -> dict[str, Any]:
    """Sums of what was spent."""
    user = whose(call, user_id)
    await seen(call, min_position)
    wanted = {"org": call.org, "user": user, "back": _BACK[period], "unnamed": UNNAMED}
    (row,) = await call.services.rows(_ANALYTICS, wanted)
    return {"user_id": user, "period": period, **_sums(row)}


@endpoint("GET /api/v1/budgets/me/alerts", May.READ_BUDGETS, BudgetAlerts)
async def read_budget_alerts(call: Call, user_id: UserId = None) -> dict[str, Any]:
    """How near the end is."""
    answered = await budget_now(call, whose(call, user_id))
    return {"alerts": alerts_of(answered.value), "position": format_position(answered.position)}


@endpoint("GET /api/v1/budgets/health", May.READ_BUDGETS, BudgetHealth)
async def read_budget_health(call: Call) -> dict[str, Any]:
    """Are budgets well."""
    issues = await call.services.single(Condition).issues() + await _of_budgets(call)
    status = "healthy" if not issues else "degraded" if len(issues) < UNHEALTHY_FROM else "unhealthy"
    return {"status": status, "issues": issues}


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
