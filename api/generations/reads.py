"""May a generation run, and what has become of those that were asked for."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Query

from api.generations.answers import (
    Assessment,
    GenerationRow,
    GenerationWhole,
    amounts_answer,
    assessment_answer,
    holds_answer,
)
from api.generations.commands import RequestBody, request_of
from api.generations.storage import stored_of
from api.http.caller import Call, own_only, seen_user
from api.http.database import Row
from api.http.endpoint import MinPosition, endpoint
from api.http.fields import QueryDay, UserId
from api.http.lists import LAST, Page, bounds, moments, page_of, seen
from api.http.policy import May
from api.http.problems import not_found
from api.http.services import Services
from domain.generations.events import Held
from domain.generations.handlers import AssessGeneration
from domain.money import decimal_text
from domain.resources.table import RESOURCES
from domain.wording import bytes_text, usd_text
from infra.position import format_position


def counted(amount: int, one: str, many: str | None = None) -> str:
    """An amount of something, in the singular where it is one."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def amount_of_unit(amount: int, unit: str) -> str:
    """An amount of an account's unit, or of what generations take: `credits`, `tokens`, `plan_tokens`, `usd`, `bytes`.

    A plan's tokens have their type in the unit: `5 lead generation tokens` of `tokens.lead_generation`.
    """
    if unit == "usd":
        return usd_text(amount)
    if unit == "bytes":
        return bytes_text(amount)
    kind, _, type_ = unit.partition(".")
    name = {"plan_tokens": "plan tokens"}.get(kind, kind)
    words = f"{type_.replace('_', ' ')} {name}" if type_ else name
    return counted(amount, words.removesuffix("s"), words)


_BEGINNINGS = {
    "refused": "Refused",
    "held": "Waiting",
    "running": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "expired": "Expired",
    "settled_late": "Completed late",
}
OPEN = frozenset({"held", "running"})
_REFUSED = {each.reason: each.short for each in RESOURCES}


class Moved(NamedTuple):
    """Of one resource: all that was held, what was charged, what of the hold came back when it ended.

    Later, `refunded` of what was charged. Whole credits or tokens, or micro-USD.
    """

    held: int = 0
    charged: int = 0
    returned: int = 0
    refunded: int = 0


def outcome_text(status: str, refusal: str | None, moved: Mapping[str, Moved], owed: Mapping[str, int]) -> str:
    """The sentence, without a full stop. `moved` is by resource; `owed` by unit what could not be charged yet.

    A hold never reads like a charge.
    """
    beginning = _BEGINNINGS.get(status, status.replace("_", " ").capitalize())
    if status == "refused":
        return f"{beginning}: {_REFUSED.get(refusal or '', (refusal or 'not allowed').replace('_', ' '))}"
    charged = {what: each.charged for what, each in moved.items() if each.charged}
    if status in OPEN:
        held = {what: each.held - each.charged for what, each in moved.items() if each.held > each.charged}
        so_far = f"{_amounts(charged)} charged so far, " if charged else ""
        return f"{beginning}: {so_far}{_amounts(held) or 'nothing'} held{'' if charged else ', not charged'}"
    parts = [f"{_amounts(charged) or 'nothing'} charged"]
    if charged:
        returned = {what: each.returned for what, each in moved.items() if each.returned}
        parts += _more(returned, charged, "returned")
    parts += _more({what: each.refunded for what, each in moved.items() if each.refunded}, charged, "refunded")
    parts += _more({what: amount for what, amount in owed.items() if amount}, charged, "still owed")
    return f"{beginning}: {', '.join(parts)}"


def _more(amounts: Mapping[str, int], charged: Mapping[str, int], verb: str) -> list[str]:
    """The unit is not said again where it is clear: `1,100 credits charged, 140 returned`."""
    if not amounts:
        return []
    if len(charged) == 1 and amounts.keys() == charged.keys() and "usd" not in charged:
        return [f"{next(iter(amounts.values())):,} {verb}"]
    return [f"{_amounts(amounts)} {verb}"]


def _amounts(amounts: Mapping[str, int]) -> str:
    return " and ".join(amount_of_unit(amount, unit) for unit, amount in amounts.items())


FIGURES = tuple(each.figure for each in RESOURCES.settling if each.figure)
# What generations `g` held by resource, extensions included: a generation holds under its own id on every account that
# pays for it. None where it held nothing.
HELD = """
    left join lateral (
        select jsonb_object_agg(unit, amount) as held from (
            select case when address like '%%:tokens.%%' then 'plan_tokens'
                else regexp_replace(address, '^.*:', '') end as unit, sum(amount) as amount
            from read.reservations where org = g.org and id = g.id and generation group by 1
        ) each
    ) holding on true"""


def amounts_of(row: Row) -> dict[str, Any]:
    """The part of a generation's answer that says what it took: `amounts` by resource, and `outcome_text`.

    Of USD, which no account holds, `held` is what it was expected to cost.
    """
    ended = row["status"] not in OPEN
    moved = {name: _moved(row, name, ended=ended) for name in FIGURES}
    amounts: dict[str, dict[str, Any]] = {name: each._asdict() for name, each in moved.items()}
    amounts["usd"] = {what: decimal_text(amount) for what, amount in amounts["usd"].items()}
    return {
        "amounts": amounts,
        "outcome_text": outcome_text(row["status"], row["refusal"], moved, row["shortfall"]),
    }


def _moved(row: Row, name: str, *, ended: bool) -> Moved:
    charged = row[f"charged_{name}"]
    held = (row["held"] or {}).get(name, 0)
    if name == "usd" and row["status"] != "refused":
        held = row["quoted_usd"]
    return Moved(held, charged, max(0, held - charged) if ended else 0, row[f"refunded_{name}"])


MAX_CHILDREN = 200
LIST = f"""
    select g.*, held from (
        select * from read.generations
        where org = %(org)s and (%(user)s::text is null or user_id = %(user)s)
          and (%(status)s::text is null or status = %(status)s) and (%(model)s::text is null or model = %(model)s)
          and (%(outcome)s::text is null or outcome = %(outcome)s)
          and (%(q)s::text is null or starts_with(id, %(q)s) or strpos(lower(model), lower(%(q)s)) > 0)
          and created_position < %(before)s and created_position >= %(first)s and created_position < %(last)s
        order by created_position desc limit %(limit)s
    ) g {HELD} order by created_position desc"""
ONE = f"select g.*, held from read.generations g {HELD} where org = %(org)s and id = %(id)s"
CHILDREN = f"""
    select g.*, held from (
        select * from read.generations where org = %(org)s and parent_id = %(id)s
        order by created_position limit {MAX_CHILDREN}
    ) g {HELD} order by created_position"""

Status = Literal["refused", "held", "running", "completed", "failed", "cancelled", "expired", "settled_late"]
Filter = Annotated[str | None, Query(max_length=255)]


@endpoint("GET /api/v1/generations", May.READ_GENERATIONS, page_of(GenerationRow))
async def list_generations(
    call: Call,
    page: Page,
    user_id: UserId = None,
    status: Status | None = None,
    model: Filter = None,
    outcome: Filter = None,
    q: Annotated[str, Query(max_length=255, description="How an id begins, or a part of a model's name.")] = "",
    from_: Annotated[QueryDay | None, Query(alias="from")] = None,
    to: QueryDay | None = None,
) -> dict[str, Any]:
    """Generations, newest first."""
    from_, to = await moments(call, from_, to)
    user = seen_user(call, user_id)
    wanted = {"user": user, "status": status, "model": model, "outcome": outcome, "q": q or None}
    pages = await page.of(call, "generations", call.org, *(value or "" for value in wanted.values()))
    first, last = await bounds(call, from_, to)
    rows = await pages.rows(LIST, {"before": LAST}, **wanted, first=first, last=last)
    await call.services.threads.run(_open, call.services, call.org, rows)
    return pages.page(rows, ["created_position"], generation_row)


@endpoint("GET /api/v1/generations/{id}", May.READ_GENERATIONS, GenerationWhole)
async def read_generation(call: Call, id: str, min_position: MinPosition = None) -> dict[str, Any]:
    """A generation, what it has stored and its parts."""
    await seen(call, min_position)
    row = await call.row(ONE, id=id)
    if row is None:
        raise not_found("generation", id)
    own_only(call, row["user_id"])
    children = await call.rows(CHILDREN, id=id)
    await call.services.threads.run(_open, call.services, call.org, [row, *children])
    answer = generation_row(row)
    answer["stored"] = await stored_of(call, id)
    answer["children"] = [generation_row(child) for child in children]
    return answer


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
    answered = await call.ask(AssessGeneration(request=request), operation="check_generation")
    answer = assessment_answer(answered.value, call.services.links)
    if not answer["can_proceed"]:
        call.services.metrics.blocked(request.operation, answer["reason"])
        asked = {"user_id": request.user, "operation": request.operation, "model": request.model}
        call.services.on_refused_check(
            call.org, {**answer, **asked, "actor": call.principal.actor, "at": answered.time}
        )
    return answer | {"position": format_position(answered.position)}


def generation_row(row: Row) -> dict[str, Any]:
    """A row of `read.generations` as it is shown, its text opened before."""
    cost, currency = row.pop("provider_cost"), row.pop("provider_currency")
    row.pop("created_position")
    generation_id = row.pop("id")
    return {
        "generation_id": generation_id,
        "transaction_id": generation_id,
        **{name: row[name] for name in ("user_id", "parent_id", "operation", "provider", "model", "options", "count")},
        **{name: row[name] for name in ("feature", "status", "refusal", "outcome")},
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
