"""May a generation run, and what has become of those that were asked for."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from fastapi.routing import APIRoute

from api.acting import own_only, seen_user
from api.assessment import amounts_answer, assessment_answer
from api.commands.generations import PATH, RequestBody, request_of
from api.current import ask
from api.database import Row
from api.fields import QueryDay, UserId
from api.generation_amounts import HELD, amounts_of
from api.generation_answers import holds_answer
from api.operation import Call
from api.paging import CursorText, Limit
from api.positions import bounds
from api.problems import not_found, refused
from api.reading import Json, MinPosition, cursors, seen
from api.routes.contents import stored_of
from api.routing import BodyRoute, Given, ReadRoute, call_of
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
LIST = f"""
    select {_COLUMNS}, held from (
        select * from read.generations
        where org = %(org)s and (%(user)s::text is null or user_id = %(user)s)
          and (%(status)s::text is null or status = %(status)s) and (%(model)s::text is null or model = %(model)s)
          and (%(outcome)s::text is null or outcome = %(outcome)s)
          and (%(q)s::text is null or starts_with(id, %(q)s) or strpos(lower(model), lower(%(q)s)) > 0)
          and created_position < %(before)s and created_position >= %(first)s and created_position < %(last)s
        order by created_position desc limit %(limit)s
    ) g {HELD} order by created_position desc"""
ONE = f"select {_COLUMNS}, held from read.generations g {HELD} where org = %(org)s and id = %(id)s"
CHILDREN = f"""
    select {_COLUMNS}, held from (
        select * from read.generations where org = %(org)s and parent_id = %(id)s
        order by created_position limit {MAX_CHILDREN}
    ) g {HELD} order by created_position"""

CallNow = Annotated[Call, Depends(call_of)]
Status = Literal["refused", "held", "running", "completed", "failed", "cancelled", "expired", "settled_late"]
Filter = Annotated[str | None, Query(max_length=255)]


class _Generations:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def list_generations(
        self,
        call: CallNow,
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
        from_, to = await moments(self._services, call, from_, to)
        wanted = {"org": call.org, "user": seen_user(call, user_id), "status": status}
        wanted |= {"model": model, "outcome": outcome, "q": q or None}
        await seen(self._services, call, min_position)
        pages = cursors(self._services, call, "generations", *(value or "" for value in wanted.values()))
        before = pages.decode(cursor, int)[0] if cursor else LAST
        partition = partition_of(call.org, self._services.ledger.writer.partitions)
        first, last = await bounds(self._services, partition, from_, to)
        limits = {"before": before, "first": first, "last": last, "limit": limit + 1}
        rows = await self._services.rows(LIST, wanted | limits)
        await self._services.threads.run(self._open, call.org, rows)
        return Json(pages.page(rows, limit, lambda row: [row["created_position"]], generation_row))

    async def read_generation(self, id: str, call: CallNow, min_position: MinPosition = None) -> Json:  # noqa: A002
        await seen(self._services, call, min_position)
        wanted = {"org": call.org, "id": id}
        row = await self._services.row(ONE, wanted)
        if row is None:
            raise not_found("generation", id)
        own_only(call, row["user_id"])
        children = await self._services.rows(CHILDREN, wanted)
        await self._services.threads.run(self._open, call.org, [row, *children])
        told = generation_row(row)
        told["stored"] = await stored_of(self._services, call.org, id)
        told["children"] = [generation_row(child) for child in children]
        return Json(told)

    def _open(self, org: str, rows: list[Row]) -> None:
        """Put each row's opened text in place of the sealed one; none where there is none, or its key is erased."""
        for row in rows:
            owner = f"user:{row['user_id']}"
            asked = self._services.sealer.open(org, owner, row.pop("sealed")) or {}
            ended = self._services.sealer.open(org, owner, row.pop("sealed_end")) or {}
            row["refusal"] = row.pop("reason")
            row |= {name: asked.get(name) for name in ("prompt", "reason", "metadata")}
            row["error_message"] = ended.get("error_message")


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    handlers = _Generations(services)
    return [
        BodyRoute(
            PATH + "/check",
            _check_generation,
            services,
            "May this generation run, and what would it take",
            RequestBody,
            Assessment,
            keyed=False,
        ),
        ReadRoute(PATH, handlers.list_generations, services, "Generations, newest first", page_of(GenerationRow)),
        ReadRoute(
            PATH + "/{id}",
            handlers.read_generation,
            services,
            "A generation, what it has stored and its parts",
            GenerationWhole,
        ),
    ]


async def _check_generation(given: Given) -> tuple[dict[str, Any], None]:
    """Decided by the code of the decision, from the same current state; nothing is written."""
    services, call = given.services, given.call
    request = request_of(call, given.body)
    try:
        answered = await ask(services, call.org, AssessGeneration(request=request))
    except Refusal as refusal:
        services.metrics.refused("check_generation", refusal.code)
        raise refused(Refused.of(refusal)) from None
    told = assessment_answer(answered.value, services.links)
    if not told["can_proceed"]:
        services.metrics.blocked(request.operation, told["reason"])
        asked = {"user_id": request.user, "operation": request.operation, "model": request.model}
        services.on_refused_check(call.org, {**told, **asked, "actor": call.principal.actor, "at": answered.time})
    return told | {"position": format_position(answered.position)}, None


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
