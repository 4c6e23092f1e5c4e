"""Where a budget stands, whether a cost fits, and costs of what was generated elsewhere (S2)."""

from asyncio import gather
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from api.budget_answers import CURRENCY, budget_answer, budget_now, settings_tag
from api.commands.generations import Prompt
from api.commands.settlements import Milliseconds
from api.current import ask, read_current
from api.database import UNREACHABLE
from api.fields import Body, Id, Label, Text, Usd, UserId
from api.http.caller import Call, own_only, seen_user, user_of
from api.http.command import execute_all, key_reused, require_room
from api.http.endpoint import REPLAYED, endpoint, invalid_body
from api.http.policy import May
from api.problems import Problem, away, refused
from api.reading import Json
from api.schemas_groups import BudgetAnswer, BudgetChecked, CostResults
from api.services import Services
from api.streams_room import Begins
from domain.budgets.now import BudgetCheck, CheckBudget
from domain.budgets.record_cost import RecordCost
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
