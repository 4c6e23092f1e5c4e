"""May a generation run, and what has become of those that were asked for."""

from typing import Annotated, Any, Literal

from fastapi import Query

from api.assessment import amounts_answer, assessment_answer
from api.commands.generations import RequestBody, request_of
from api.current import ask
from api.database import Row
from api.fields import QueryDay, UserId
from api.generation_amounts import HELD, amounts_of
from api.generation_answers import holds_answer
from api.http.caller import Call, own_only, seen_user
from api.http.endpoint import MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.positions import bounds
from api.problems import not_found, refused
from api.reading import Json, cursors, seen
from api.routes.contents import stored_of
from api.schemas import page_of
from api.schemas_generations import Assessment, GenerationRow, GenerationWhole
from api.services import Services
from api.windows import moments
from domain.generations.events import Held
from domain.generations.handlers import AssessGeneration
from domain.money import decimal_text
from domain.refusal import Refusal
from infra.partitions import partition_of
from infra.position import format_position
from infra.writer.submission import Refused

MAX_CHILDREN = 200
LAST = 2**62
_COLUMNS = """id, user_id, parent_id, operation, provider, model, options, "count", feature, token_type, status, reason,
    outcome, quoted_credits, quoted_tokens, quoted_usd, quoted_bytes, quoted_plan_tokens, item, price_version,
    charged_credits, charged_tokens, charged_usd, charged_plan_tokens, refunded_credits, refunded_tokens, refunded_usd,
    refunded_plan_tokens, uncharged, shortfall, holds, succeeded, contents, content_bytes, provider_cost,
    provider_currency, generation_time_ms, created_at, started_at, ended_at, expires_at, actor, sealed, sealed_end,
    created_position, position"""
_LIST = f"""
    select {_COLUMNS}, held from (
        select * from read.generations
        where org = %(org)s and (%(user)s::text is null or user_id = %(user)s)
          and (%(status)s::text is null or status = %(status)s) and (%(model)s::text is null or model = %(model)s)
          and (%(outcome)s::text is null or outcome = %(outcome)s)
          and (%(q)s::text is null or starts_with(id, %(q)s) or strpos(lower(model), lower(%(q)s)) > 0)
          and created_position < %(before)s and created_position >= %(first)s and created_position < %(last)s
        order by created_position desc limit %(limit)s
    ) g {HELD} order by created_position desc"""
_ONE = f"select {_COLUMNS}, held from read.generations g {HELD} where org = %(org)s and id = %(id)s"
_CHILDREN = f"""
    select {_COLUMNS}, held from (
        select * from read.generations where org = %(org)s and parent_id = %(id)s
        order by created_position limit {MAX_CHILDREN}
    ) g {HELD} order by created_position"""

Status = Literal["refused", "held", "running", "completed", "failed", "cancelled", "expired", "settled_late"]
Filter = Annotated[str | None, Query(max_length=255)]


@endpoint("GET /api/v1/generations", May.READ_GENERATIONS, page_of(GenerationRow))
async def list_generations(
    call: Call,
    user_id: UserId = None,
    status: Status | None = None,
    model: Filter = None,
    outcome: Filter = None,
    q: Annotated[str, Query(max_length=255, description="How an id begins, or a part of a model's name.")] = "",
    from_: Annotated[QueryDay | None, Query(alias="from")] = None,
    to: QueryDay | None = None,
    limit: Limit = 50,
    cursor: CursorText = None,
    min_position: MinPosition = None,
) -> Json:
    """Generations, newest first."""
    from_, to = await moments(call, from_, to)
    wanted = {"org": call.org, "user": seen_user(call, user_id), "status": status}
    wanted |= {"model": model, "outcome": outcome, "q": q or None}
    await seen(call, min_position)
    pages = cursors(call, "generations", *(value or "" for value in wanted.values()))
    before = pages.decode(cursor, int)[0] if cursor else LAST
    partition = partition_of(call.org, call.services.ledger.writer.partitions)
    first, last = await bounds(call.services, partition, from_, to)
    limits = {"before": before, "first": first, "last": last, "limit": limit + 1}
    rows = await call.services.rows(_LIST, wanted | limits)
    await call.services.threads.run(_open, call.services, call.org, rows)
    return Json(pages.page(rows, limit, lambda row: [row["created_position"]], generation_row))


@endpoint("GET /api/v1/generations/{id}", May.READ_GENERATIONS, GenerationWhole)
async def read_generation(call: Call, id: str, min_position: MinPosition = None) -> Json:
    """A generation, what it has stored and its parts."""
    await seen(call, min_position)
    wanted = {"org": call.org, "id": id}
    row = await call.services.row(_ONE, wanted)
    if row is None:
        raise not_found("generation", id)
    own_only(call, row["user_id"])
    children = await call.services.rows(_CHILDREN, wanted)
    await call.services.threads.run(_open, call.services, call.org, [row, *children])
    told = generation_row(row)
    told["stored"] = await stored_of(call.services, call.org, id)
    told["children"] = [generation_row(child) for child in children]
    return Json(told)


def _open(services: Services, org: str, rows: list[Row]) -> None:
    """Put each row's opened text in place of the sealed one; none where there is none, or its key is erased."""
    for row in rows:
        owner = f"user:{row['user_id']}"
        asked = services.sealer.open(org, owner, row.pop("sealed")) or {}
        ended = services.sealer.open(org, owner, row.pop("sealed_end")) or {}
        row["refusal"] = row.pop("reason")
        row |= {name: asked.get(name) for name in ("prompt", "reason", "metadata")}
        row["error_message"] = ended.get("error_message")


@endpoint("POST /api/v1/generations/check", May.READ_GENERATIONS, Assessment, keyed=False)
async def check_generation(call: Call, body: RequestBody) -> dict[str, Any]:
    """May this generation run, and what would it take.

    Decided by the code of the decision, from the same current state; nothing is written.
    """
    request = request_of(call, body)
    try:
        answered = await ask(call.services, call.org, AssessGeneration(request=request))
    except Refusal as refusal:
        call.services.metrics.refused("check_generation", refusal.code)
        raise refused(Refused.of(refusal)) from None
    told = assessment_answer(answered.value, call.services.links)
    if not told["can_proceed"]:
        call.services.metrics.blocked(request.operation, told["reason"])
        asked = {"user_id": request.user, "operation": request.operation, "model": request.model}
        call.services.on_refused_check(call.org, {**told, **asked, "actor": call.principal.actor, "at": answered.time})
    return told | {"position": format_position(answered.position)}


def generation_row(row: Row) -> dict[str, Any]:
    """A row of `read.generations` as it is shown, its text opened before."""
    cost, currency = row.pop("provider_cost"), row.pop("provider_currency")
    row.pop("created_position")
    generation_id = row.pop("id")
    return {
        "generation_id": generation_id,
        "transaction_id": generation_id,
        **{name: row[name] for name in ("user_id", "parent_id", "operation", "provider", "model", "options", "count")},
        "feature": row["feature"],
        "status": row["status"],
        "refusal": row["refusal"],
        "outcome": row["outcome"],
        "quote": {
            **_money(row, "quoted"),
            "bytes": row["quoted_bytes"],
            **{name: row[name] for name in ("token_type", "item", "price_version")},
        },
        "holds": holds_answer(Held(each["resource"], each["stream"], each["amounts"]) for each in row["holds"]),
        **amounts_of(row),
        "charged": _money(row, "charged"),
        "refunded": _money(row, "refunded"),
        "uncharged": amounts_answer(row["uncharged"]),
        "shortfall": amounts_answer(row["shortfall"]),
        **{name: row[name] for name in ("succeeded", "contents", "content_bytes", "generation_time_ms")},
        "provider_cost": None if cost is None else {"amount": decimal_text(cost), "currency": currency},
        **{name: row[name] for name in ("prompt", "reason", "metadata", "error_message", "actor")},
        **{name: row[name] for name in ("created_at", "started_at", "ended_at", "expires_at")},
        "position": format_position(row["position"]),
    }


def _money(row: Row, what: str) -> dict[str, Any]:
    return {
        "credits": row[f"{what}_credits"],
        "tokens": row[f"{what}_tokens"],
        "plan_tokens": row[f"{what}_plan_tokens"],
        "usd": decimal_text(row[f"{what}_usd"]),
        "currency": "USD",
    }
