"""Monthly budgets, their ceilings, costs of what was generated elsewhere, and their sums (S2)."""

import re
from asyncio import gather
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from api.generations.commands import Milliseconds, Prompt
from api.http.caller import Call, matched, own_only, seen_user, tag_of, user_of
from api.http.command import command, count_free, execute_all, key_reused, require_room
from api.http.database import UNREACHABLE, Row
from api.http.endpoint import REPLAYED, Answer, MinPosition, endpoint, invalid_body
from api.http.fields import Body, Id, Label, Text, Usd, UserId
from api.http.limits import Begins
from api.http.lists import LAST, Json, Page, page_of, seen
from api.http.policy import May
from api.http.problems import Problem, away, refused
from api.http.services import Services
from api.operator.health import UNHEALTHY_FROM, Condition
from domain.budgets.commands import BudgetCheck, BudgetNow, BudgetUse, CheckBudget, RecordCost, SetBudget
from domain.budgets.state import MAX_BUDGET, MIN_BUDGET
from domain.money import decimal_text, micros
from domain.organisations import state as organisations
from domain.resources.budget import BUDGET
from domain.wording import usd_text
from infra.position import format_position
from infra.writer.submission import Answered, KeyReused, NotApplied, Outcome


class BudgetAnswer(BaseModel):
    """A user's month. `ceiling`: the most that the user may set, null for none; `reserved`: held for what runs.

    `percent` of the budget is used or reserved, rounded down.
    """

    user_id: str
    monthly_budget: str
    ceiling: str | None
    used_monthly: str
    reserved: str
    remaining: str
    percent: int
    currency: str
    period_start: datetime
    period_end: datetime
    remaining_formatted: str
    used_formatted: str
    position: str


class BudgetChecked(BaseModel):
    """`reason`: ok or budget_exceeded; `enforced`: whether the organisation has budgets checked."""

    allowed: bool
    reason: str
    message: str | None
    expected_cost: str
    remaining: str
    currency: str
    enforced: bool
    position: str


class CostResult(BaseModel):
    """`duplicate`: a cost of this id is recorded already and counts once. `error` and `code` say what is wrong."""

    id: str | None
    status: Literal["ok", "duplicate", "error"]
    error: str | None
    code: str | None = None
    field: str | None = None


class CostResults(BaseModel):
    """One result for each entry, in their order."""

    results: list[CostResult]
    position: str | None


class CostRow(BaseModel):
    """An attempt, or the refund of one (`kind`), whose cost is below zero. Only a success was charged."""

    id: str
    kind: Literal["recorded", "generation", "refund"]
    user_id: str
    prompt: str | None
    size: str | None
    quality: str | None
    cost: str
    currency: str
    success: bool
    image_url: str | None
    generation_time_ms: int | None
    error_message: str | None
    created_at: datetime
    position: str


class BudgetAnalytics(BaseModel):
    """What was spent from `from` to `to`. Refunds are taken off; `average_cost` is per generation, 0.00 without any."""

    user_id: str
    period: Literal["week", "month", "year"]
    from_: datetime = Field(alias="from")
    to: datetime
    total_spent: str
    total_generations: int
    successful_generations: int
    average_cost: str
    cost_by_size: dict[str, str]
    cost_by_quality: dict[str, str]
    currency: str


class BudgetAlert(BaseModel):
    """`percentage` of the month's budget is used, rounded down."""

    type: Literal["warning", "critical"]
    message: str
    percentage: int


class BudgetAlerts(BaseModel):
    """Nothing below 75 %."""

    alerts: list[BudgetAlert]
    position: str


class BudgetHealth(BaseModel):
    """healthy without an issue, degraded with fewer than 3, unhealthy from 3."""

    status: Literal["healthy", "degraded", "unhealthy"]
    issues: list[str]


CURRENCY = "USD"
WARNING_FROM, CRITICAL_FROM = 75, 90  # percent of the budget (S2)


async def budget_now(call: Call, user: str) -> Answered:
    """The user's budget now, a `BudgetUse`. Raises Problem (503)."""
    return await call.ask(BudgetNow(user=user))


def budget_answer(user: str, answered: Answered) -> dict[str, Any]:
    """The answer to `BudgetNow` as callers read it."""
    use: BudgetUse = answered.value
    return {
        "user_id": user,
        **figures_of(use),
        # A ceiling that is no lower than everyone's is none.
        "ceiling": None if use.ceiling is None or use.ceiling >= MAX_BUDGET else decimal_text(use.ceiling),
        "reserved": decimal_text(use.held),
        # Rounded down, so that no threshold is shown before it is reached.
        "percent": (use.used + use.held) * 100 // use.monthly,
        "remaining_formatted": usd_text(use.remaining),
        "used_formatted": f"{usd_text(use.used)} of {usd_text(use.monthly)}",
        "position": format_position(answered.position),
    }


def figures_of(use: BudgetUse) -> dict[str, Any]:
    """The budget's figures as every answer has them."""
    return {
        "monthly_budget": decimal_text(use.monthly),
        "used_monthly": decimal_text(use.used),
        "remaining": decimal_text(use.remaining),
        "currency": CURRENCY,
        "period_start": use.period.start,
        "period_end": use.period.end,
    }


def settings_tag(use: BudgetUse) -> str:
    """The ETag of what PUT changes."""
    return tag_of(use.monthly, use.ceiling)


def alerts_of(use: BudgetUse) -> list[dict[str, Any]]:
    """The alert that the month's use is worth: none below 75 %, and never two for one budget."""
    share = use.used * 100 // use.monthly
    if share < WARNING_FROM:
        return []
    sentence = f"{share} % of the monthly budget is used: {usd_text(use.used)} of {usd_text(use.monthly)}."
    type_ = "critical" if share >= CRITICAL_FROM else "warning"
    return [{"type": type_, "message": sentence, "percentage": share}]


_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,6})?", re.ASCII)
_MONEY_FACTS = ("monthly", "ceiling", "limit")


def _from_one_to_thousand(text: str) -> str:
    """Says which of the bounds was passed, as decimal text like the value itself."""
    if not _DECIMAL.fullmatch(text):
        reason = "must be a decimal with at most 6 places, as text"
        raise PydanticCustomError("not_a_decimal", reason, {"le": decimal_text(MAX_BUDGET)})
    if text.startswith("-") or micros(text) < MIN_BUDGET:
        raise PydanticCustomError("too_small", "must be at least 1.00 USD", {"ge": decimal_text(MIN_BUDGET)})
    if micros(text) > MAX_BUDGET:
        raise PydanticCustomError("too_large", "must be at most 1000.00 USD", {"le": decimal_text(MAX_BUDGET)})
    return text


BudgetText = Annotated[
    str,
    AfterValidator(_from_one_to_thousand),
    Field(description="USD a month as decimal text, 1 to 1000.", examples=["25.00"]),
]


class MyBudgetBody(Body):
    """At most the ceiling, where an administrator has set one."""

    monthly_budget: BudgetText


class UserBudgetBody(Body):
    """What is not given stays as it is. A ceiling below the budget lowers it; null takes the ceiling away."""

    monthly_budget: BudgetText = ""
    ceiling: BudgetText | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("names nothing to change: monthly_budget or ceiling")
        return self


def _whose(call: Call) -> str:
    return call.params.get("id", call.principal.sub)


async def _unchanged(call: Call, _body: Any) -> Call:
    """Raises Problem (412) where the caller has read the budget as it no longer is."""
    if call.if_match is not None:
        matched(call, "budget", settings_tag((await budget_now(call, _whose(call))).value))
    return call


async def _as_it_is(call: Call, _body: Any, _outcome: Outcome) -> Answer:
    return budget_answer(_whose(call), await budget_now(call, _whose(call)))


def _in_usd(_call: Call, outcome: Outcome) -> dict[str, Any]:
    """The numbers of a refusal, money as text."""
    facts = outcome.refusal.facts if outcome.refusal else {}
    money = {name: decimal_text(facts[name]) for name in _MONEY_FACTS if name in facts}
    return {**facts, **money, "currency": CURRENCY}


@command(
    "PUT /api/v1/budgets/me",
    May.SET_OWN_BUDGET,
    BudgetAnswer,
    look=_unchanged,
    tell=_as_it_is,
    facts=_in_usd,
    free=lambda _body: True,
    begins=lambda call, _body: Begins("budget", call.principal.sub),
)
def set_my_budget(call: Call, body: MyBudgetBody, _sealed: str | None) -> Any:
    """Set one's own monthly budget."""
    return SetBudget(user=call.principal.sub, monthly=micros(body.monthly_budget), by_user=True)


@command(
    "PUT /api/v1/users/{id}/budget",
    May.SET_BUDGETS,
    BudgetAnswer,
    look=_unchanged,
    tell=_as_it_is,
    facts=_in_usd,
    begins=lambda call, _body: Begins("budget", call.id),
)
def set_budget(call: Call, body: UserBudgetBody, _sealed: str | None) -> Any:
    """Set a user's monthly budget, and the most that the user may set.

    A ceiling that everybody has anyway is none.
    """
    ceiling = None
    if "ceiling" in body.model_fields_set:
        ceiling = MAX_BUDGET if body.ceiling is None else micros(body.ceiling)
    monthly = micros(body.monthly_budget) if body.monthly_budget else None
    return SetBudget(user=call.id, monthly=monthly, ceiling=ceiling, by_user=False)


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
    answered, now = await gather(
        call.ask(question, operation="check_budget"), call.services.current(call.org, organisations.STREAM)
    )
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
        count_free(call, each)
    position = max((each.position for each in outcomes), default=None)
    answer = {"results": results, "position": None if position is None else format_position(position)}
    replayed = bool(outcomes) and all(each.replayed for each in outcomes)
    return Json(answer, headers=REPLAYED if replayed else None)


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
    answer: dict[str, Any] = {"id": id_ if isinstance(id_, str) else None, "status": "ok", "error": None}
    if isinstance(result, Outcome):
        if result.refusal is None:
            return answer
        if result.refusal.code == EXISTS:
            return answer | {"status": "duplicate", "error": result.refusal.detail, "code": EXISTS}
        result = refused(result.refusal)
    problem = result if isinstance(result, Problem) else key_reused()
    return answer | {"status": "error", "error": problem.detail, "code": problem.code, "field": problem.field}


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
    answer = pages.page(await pages.rows(_COSTS, {"before": LAST}, user=user), ["position"])
    made = [row["id"] for row in answer["items"] if row["kind"] == "generation"]
    contents = await call.rows(_CONTENTS, ids=made) if made else []
    answer["items"] = await call.services.threads.run(_shown, call.services, call.org, answer["items"], contents)
    return answer


@endpoint("GET /api/v1/budgets/me/analytics", May.READ_BUDGETS, BudgetAnalytics)
async def read_budget_analytics(
    call: Call, period: PeriodName = "month", user_id: UserId = None, min_position: MinPosition = None
) -> dict[str, Any]:
    """Sums of what was spent."""
    user = whose(call, user_id)
    await seen(call, min_position)
    (row,) = await call.rows(_ANALYTICS, user=user, back=_BACK[period], unnamed=UNNAMED)
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
        await call.rows(_READABLE)
    except UNREACHABLE:
        issues.append("The history of costs cannot be read at the moment.")
    return issues
