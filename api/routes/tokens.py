"""Plan tokens of the organisation: may they be used, use them, what was used (S3)."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel

from api.commands.tokens import _DEDUCT, UseAnswer, UseBody, question, who_uses
from api.current import ask
from api.database import Row
from api.fields import QueryDay, UserId
from api.http.caller import Call, seen_user
from api.http.command import execute
from api.http.endpoint import REPLAYED, MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.problems import refused, unavailable
from api.reading import Json, cursors, open_text, seen
from api.schemas import page_of
from api.token_figures import token_stats
from api.windows import moments
from domain.credits.events import CreditsDebited
from domain.organisations.now import OrganisationNow
from domain.plans.deduct import OK, TokenAnswer, TokensLeft
from domain.refusal import Refusal, RefusalKind
from infra.position import format_position
from infra.writer.submission import Outcome, Refused

_LOG = """
    select at, user_id, token_type, feature, tokens, remaining, debit_id, generation_id, actor, sealed, position
    from read.token_usage
    where org = %(org)s and position < %(before)s
      and (%(token_type)s::text is null or token_type = %(token_type)s)
      and (%(user)s::text is null or user_id = %(user)s)
      and (%(feature)s::text is null or feature = %(feature)s)
      and (%(from)s::timestamptz is null or at >= %(from)s) and (%(to)s::timestamptz is null or at < %(to)s)
    order by position desc limit %(limit)s"""
_LEFT = """
    select remaining from read.token_usage
    where org = %(org)s and position > %(position)s - %(events)s and position <= %(position)s and debit_id = %(id)s"""

LAST = 2**62
Filter = Annotated[str | None, Query(max_length=255)]


class TokenUseRow(BaseModel):
    """One charge, or a refund (`tokens` below zero), and the balance after it."""

    at: datetime
    organisation: str
    user_id: str | None = None
    token_type: str
    feature: str | None = None
    tokens: int
    remaining: int
    debit_id: str
    generation_id: str | None = None
    actor: str
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    position: str


class TokenStats(BaseModel):
    """Plan and tokens by type; `monitoring` for those who may see the whole organisation."""

    organisation: str
    plan: str
    refresh_date: datetime | None = None
    cycle_start: datetime | None = None
    tokens: dict[str, dict[str, Any]]
    upgrade: dict[str, str] | None = None
    monitoring: dict[str, Any] | None = None
    position: str


@endpoint("GET /api/v1/tokens/stats", May.READ_CREDITS, TokenStats)
async def read_token_stats(call: Call, min_position: MinPosition = None) -> Json:
    """Plan tokens by type, and how they are used."""
    await seen(call, min_position)
    return Json(await token_stats(call))


@endpoint("GET /api/v1/tokens/usage-log", May.READ_CREDITS, page_of(TokenUseRow))
async def list_token_usage(
    call: Call,
    token_type: Filter = None,
    user_id: UserId = None,
    feature: Filter = None,
    from_: Annotated[QueryDay | None, Query(alias="from")] = None,
    to: QueryDay | None = None,
    limit: Limit = 50,
    cursor: CursorText = None,
    min_position: MinPosition = None,
) -> Json:
    """The log of plan tokens that were used, newest first."""
    from_, to = await moments(call, from_, to)
    user = seen_user(call, user_id)
    await seen(call, min_position)
    pages = cursors(call, "token-usage", token_type or "", user or "", feature or "")
    before = pages.decode(cursor, int)[0] if cursor else LAST
    wanted = {"org": call.org, "before": before, "token_type": token_type, "user": user, "feature": feature}
    rows = await call.services.rows(_LOG, {**wanted, "from": from_, "to": to, "limit": limit + 1})
    await open_text(call, f"org:{call.org}:tokens", rows)
    return Json(pages.page(rows, limit, lambda row: [row["position"]], lambda row: _shown(call, row)))


@endpoint("POST /api/v1/tokens/check-balance", May.USE_TOKENS, UseAnswer)
async def use_tokens(call: Call, body: UseBody) -> Json:
    """Ask for plan tokens of the organisation, or use them."""
    who_uses(call, body)
    if body.action == "check":
        return Json(await _checked(call, body))
    call.services.free_writes.check(call.principal, call.org)
    item = await _DEDUCT.prepare(call, body)
    outcome = await execute(call.services, item)
    _DEDUCT.count(call, body, outcome)
    headers = REPLAYED if outcome.replayed else None
    if outcome.refusal is None:
        return Json(await _deducted(call, outcome), headers=headers)
    call.services.metrics.refused(_DEDUCT.name, outcome.refusal.code)
    if outcome.refusal.kind != RefusalKind.SHORT:
        raise refused(outcome.refusal)
    answer = await _refused(call, body, outcome.refusal, outcome.position)
    if not outcome.replayed:
        _note(call, body, answer, at=outcome.time, deduction=True)
    return Json(answer, headers=headers)


async def _checked(call: Call, body: UseBody) -> dict[str, Any]:
    """What a deduction would be told now; nothing is written. A refused one is told to `scrip.decisions`."""
    answered = await _ask(call, body)
    told: TokenAnswer = answered.value
    answer = {**_told(told), "position": format_position(answered.position)}
    if told.refusal is not None:
        call.services.metrics.refused(_DEDUCT.name, told.reason)
        _note(call, body, answer, at=answered.time)
    return answer


def _note(call: Call, body: UseBody, answer: dict[str, Any], **facts: Any) -> None:
    """Tell `scrip.decisions` of a refusal."""
    short = {"ok": False, "resource": "plan", "deficit": answer["deficit"] or 0}
    asked = {"user_id": who_uses(call, body) or "", "operation": body.feature or answer["token_type"], "model": None}
    about = {"reason": answer["reason"], "checks": [short], "actor": call.principal.actor}
    call.services.on_refused_check(call.org, asked | about | facts)


async def _deducted(call: Call, outcome: Outcome) -> dict[str, Any]:
    ((stream, event),) = outcome.all(CreditsDebited)
    left: TokensLeft = outcome.result_state or await _as_told(call, outcome, event.debit_id)
    return {
        "allowed": True,
        "reason": OK,
        "detail": None,
        "token_type": stream.rpartition(":tokens.")[2],
        "cost": event.amount,
        "balance": left.balance,
        "refresh_date": left.refresh_date,
        "debit_id": event.debit_id,
        "position": format_position(outcome.position),
    }


async def _as_told(call: Call, outcome: Outcome, debit_id: str) -> TokensLeft:
    """What was left after the deduction, and its cycle's end: the first answer, which no event carries.

    Cycles never move, so their end is known from the time alone (docs/decisions/0008).
    """
    await seen(call, format_position(outcome.position))
    wanted = {"org": call.org, "position": outcome.position, "events": len(outcome.events), "id": debit_id}
    row = await call.services.row(_LEFT, wanted)
    if row is None:
        raise unavailable()
    organisation = (await ask(call.services, call.org, OrganisationNow())).value
    return TokensLeft(max(0, row["remaining"]), organisation.refresh_date(outcome.time) if outcome.time else None)


async def _refused(call: Call, body: UseBody, refusal: Refused, position: int) -> dict[str, Any]:
    """The refusal as it was decided, its numbers included; a full group does not know the cost, so that is asked."""
    told = _short(refusal)
    if "required" not in refusal.facts:
        now: TokenAnswer = (await _ask(call, body)).value
        told |= {"token_type": now.token_type, "cost": now.cost, "balance": now.balance}
        told["refresh_date"] = now.refresh_date
    return {**told, "position": format_position(position)}


def _told(told: TokenAnswer) -> dict[str, Any]:
    """The answer to a question; a refusal says what the same refusal of a deduction says."""
    if told.refusal is None:
        return {
            "allowed": True,
            "reason": OK,
            "detail": None,
            "token_type": told.token_type,
            "cost": told.cost,
            "balance": told.balance,
            "refresh_date": told.refresh_date,
        }
    answer = _short(Refused.of(told.refusal))
    return answer | {"token_type": told.token_type, "cost": told.cost, "balance": told.balance}


def _short(refusal: Refused) -> dict[str, Any]:
    facts = refusal.facts
    told = {
        "allowed": False,
        "reason": refusal.code,
        "detail": refusal.detail,
        "token_type": facts.get("token_type"),
        "cost": facts.get("required"),
        "balance": facts.get("available", 0),
        "deficit": facts.get("deficit", facts.get("required")),
        "refresh_date": facts.get("refresh_date"),
    }
    return told | {name: facts[name] for name in ("plan", "group_id", "limit", "used", "remaining") if name in facts}


async def _ask(call: Call, body: UseBody) -> Any:
    try:
        return await ask(call.services, call.org, question(call, body))
    except Refusal as refusal:
        raise refused(Refused.of(refusal)) from None


def _shown(call: Call, row: Row) -> Row:
    return {"organisation": call.org, **row, "position": format_position(row["position"])}
