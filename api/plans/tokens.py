"""Plan tokens of the organisation: may they be used, use them, what was used, when they and accounts run out (S3)."""

from asyncio import gather
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from fastapi import Query
from pydantic import BaseModel, Field, model_validator

from api.http.caller import Call, own_only, seen_user
from api.http.command import command, execute
from api.http.database import Row
from api.http.endpoint import REPLAYED, MinPosition, endpoint
from api.http.fields import Amount, Id, Model, Name, NotedBody, QueryDay, UserId
from api.http.lists import LAST, Json, Page, first_at, moments, open_text, page_of, positioned, seen
from api.http.policy import May
from api.http.problems import refused, unavailable
from api.http.services import Services
from domain.credits.events import CreditsDebited
from domain.organisations.now import OrganisationNow, PlanNow, PlanStanding, UnitStanding
from domain.periods import CYCLE
from domain.plans.deduct import OK, DeductTokens, TokenAnswer, TokensLeft, TokensNow
from domain.refusal import RefusalKind
from infra.ids import uuid7
from infra.position import format_position
from infra.security.principal import Role
from infra.writer.submission import Outcome, Refused

WINDOW_DAYS = 14
METHOD = f"mean of the last {WINDOW_DAYS} days"
FARTHEST_DAYS = 36_500  # what lasts for a century does not run out


def forecast(balance: int, used: int, now: datetime, refresh_date: datetime | None = None) -> dict[str, Any]:
    """`runs_out_at` for a `balance` of which `used` was the use in the last 14 days; none where nothing was used.

    `per_day` is a decimal as text. `before_refresh`: it runs out before the plan's next grant.
    """
    used = max(0, used)
    runs_out: datetime | None = None
    if used:
        seconds = max(0, balance) * WINDOW_DAYS * 86_400 // used
        if seconds <= FARTHEST_DAYS * 86_400:
            runs_out = now + timedelta(seconds=seconds)
    hundredths = used * 100 // WINDOW_DAYS
    return {
        "method": METHOD,
        "balance": balance,
        "used_in_window": used,
        "per_day": f"{hundredths // 100}.{hundredths % 100:02d}",
        "runs_out_at": runs_out,
        "runs_out_on": runs_out.date() if runs_out else None,
        "before_refresh": bool(runs_out and refresh_date and runs_out < refresh_date),
    }


_LIST = """
    select b.address, b.unit, b.available, b.refresh_at, used.amount as used
    from (
        select address, unit, available, refresh_at from read.balances
        where org = %(org)s and address > %(after)s and address >= %(prefix)s and starts_with(address, %(prefix)s)
          and (%(unit)s::text is null or unit = %(unit)s)
        order by address limit %(limit)s
    ) b
    cross join lateral (
        select coalesce(-sum(t.amount), 0) as amount from read.transactions t
        where t.org = %(org)s and t.address = b.address and t.position >= %(first)s
          and t.type in ('debited', 'captured', 'shortfall_collected', 'refunded')
    ) used
    order by b.address"""
# What the plan granted in the cycle that runs, how much of that is gone, and what was used lately from all sources.
_AT_RISK = """
    select b.org, o.plan, b.address, b.unit, b.available, b.refresh_at, granted.amount as allocated,
        granted.amount - granted.remaining as used, recent.used as recent
    from read.balances b
    join read.organisations o on o.org = b.org
    cross join lateral (
        select coalesce(sum(g.amount), 0) as amount,
            coalesce(sum(g.remaining + g.reserved), 0) as remaining
        from read.grants g
        where g.org = b.org and g.address = b.address and g.source = 'plan' and g.expires_at = b.refresh_at
    ) granted
    cross join lateral (
        select coalesce(sum(t.tokens), 0) as used from read.token_usage t
        where t.org = b.org and t.address = b.address and t.at >= %(window)s
    ) recent
    where b.allowance > 0 and b.owner_type = 'org' and b.unit like 'tokens.%%' and b.refresh_at > %(now)s
      and (%(own)s::text is null or b.org = %(own)s) and (b.org, b.address) > (%(org)s, %(address)s)
      and granted.amount > 0
      and ((granted.amount - granted.remaining) * 100 > granted.amount * %(percent)s
        or (recent.used > 0 and b.available::numeric * %(days)s * 86400 / recent.used
            < extract(epoch from b.refresh_at - %(now)s)))
    order by b.org, b.address limit %(limit)s"""


class ForecastAnswer(BaseModel):
    """A page of accounts; `runs_out_at` is null for what is not used."""

    method: str
    as_of: datetime
    items: list[dict[str, Any]]
    next_cursor: str | None = None


class AtRiskAnswer(BaseModel):
    """Plan tokens of which over 80 % of the cycle's are used, or which run out before the plan's next grant."""

    method: str
    percent: int
    as_of: datetime
    items: list[dict[str, Any]]
    next_cursor: str | None = None


@endpoint("GET /api/v1/forecasts", May.READ_EVENTS, ForecastAnswer)
async def list_forecasts(
    call: Call,
    page: Page,
    prefix: Annotated[str, Query(max_length=767, pattern=r"^[A-Za-z0-9._:@|+=~-]*$")] = "",
    unit: Annotated[str | None, Query(max_length=255)] = None,
) -> dict[str, Any]:
    """When accounts and plan tokens run out."""
    pages = await page.of(call, "forecasts", prefix, unit or "")
    now = await call.services.now()
    first = await first_at(call, now - timedelta(days=WINDOW_DAYS))
    rows = await pages.rows(_LIST, {"after": ""}, prefix=prefix, unit=unit, first=first)

    def shown(row: dict[str, Any]) -> dict[str, Any]:
        expected = forecast(row["available"], row["used"], now, row["refresh_at"])
        unit = row["unit"]
        token_type = unit.removeprefix("tokens.") if unit.startswith("tokens.") else None
        return {"address": row["address"], "unit": unit, "token_type": token_type, **expected}

    return {"method": METHOD, "as_of": now, **pages.page(rows, ["address"], shown)}


@endpoint("GET /api/v1/organisations/at-risk", May.READ_PLATFORM, AtRiskAnswer)
async def list_at_risk(call: Call, page: Page) -> dict[str, Any]:
    """Organisations that run out of plan tokens."""
    pages = await page.of(call, "at-risk")
    now = await call.services.now()
    own = None if call.principal.role is Role.ADMIN else call.org
    org, address = pages.after("", "")
    window = now - timedelta(days=WINDOW_DAYS)
    wanted = {"own": own, "org": org, "address": address, "now": now, "window": window, "days": WINDOW_DAYS}
    rows = await call.services.rows_of_all(_AT_RISK, wanted | {"percent": RISK_PERCENT, "limit": pages.more})

    def shown(row: dict[str, Any]) -> dict[str, Any]:
        expected = forecast(row["available"], row["recent"], now, row["refresh_at"])
        return {
            "organisation": row["org"],
            "plan": row["plan"],
            "token_type": row["unit"].removeprefix("tokens."),
            "allocated": row["allocated"],
            "used": row["used"],
            "percent": row["used"] * 100 // row["allocated"],
            "refresh_date": row["refresh_at"],
            "forecast": expected,
        }

    return {"method": METHOD, "percent": RISK_PERCENT, "as_of": now, **pages.page(rows, ["org", "address"], shown)}


LOW_PERCENT = 20  # of what the cycle gave
RISK_PERCENT = 80  # of the cycle's tokens are used
TOP = 10

# What had been used before each of three times, by the one order that has an index for it: the sum since then is what
# the write side says was used in all, less this. The last use is read from the log, which is never behind.
_USED = """
    select types.name as token_type, last.at as last_used_at, array(
        select coalesce((
            select total from read.token_usage where org = %(org)s and token_type = types.name and at < until.at
            order by at desc, position desc limit 1
        ), 0)
        from unnest(array[%(since)s, %(window)s, %(month)s]::timestamptz[]) with ordinality as until (at, n) order by n
    ) as totals
    from unnest(%(types)s::text[]) as types (name)
    left join lateral (
        select time as at from events
        where org = %(org)s and stream = 'account/org:' || %(org)s || ':tokens.' || types.name
          and position <= %(position)s
          and split_part(type, '.', 1) in ('credits-debited', 'reservation-captured', 'shortfall-collected')
        order by version desc limit 1
    ) last on true"""
_BY = """
    select coalesce({what}, '') as name, token_type, sum(tokens) as tokens, count(*)::bigint as uses
    from read.token_usage where org = %(org)s and at >= %(month)s and position <= %(position)s
    group by 1, 2 order by 3 desc, 1 limit %(top)s"""


async def token_stats(call: Call) -> dict[str, Any]:
    """Balances and use of one moment, the write side's; what users did is not for other users.

    The read model says what had been used before the cycle, the window and the month began, which does not change.
    """
    answered = await call.ask(PlanNow())
    plan: PlanStanding = answered.value
    now = answered.time
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rows = await call.rows(
        _USED,
        types=list(plan.tokens),
        position=answered.position,
        month=month,
        since=plan.cycle_start or now - CYCLE,
        window=now - timedelta(days=WINDOW_DAYS),
    )
    used = {row["token_type"]: row for row in rows}
    tokens = {name: _type(plan, name, used[name], now) for name in plan.tokens}
    answer: dict[str, Any] = {
        "organisation": call.org,
        "plan": plan.plan,
        "refresh_date": plan.refresh_date,
        "cycle_start": plan.cycle_start,
        "tokens": tokens,
        "upgrade": _upgrade(call.services, plan),
        "monitoring": None,
        "position": format_position(answered.position),
    }
    if call.principal.role is not Role.USER:
        in_month = {name: plan.used[name] - used[name]["totals"][2] for name in plan.tokens}
        wanted = {"month": month, "position": answered.position, "top": TOP}
        answer["monitoring"] = await _monitoring(call, wanted, tokens, in_month)
    return answer


def status_of(unit: UnitStanding) -> str:
    """`blocked` where the plan gives none and there is none, `empty`, `low` from 20 % left of the cycle's, or `ok`."""
    if not unit.balance:
        return "empty" if unit.allowance or unit.allocated else "blocked"
    return "low" if unit.balance * 100 <= unit.allocated * LOW_PERCENT else "ok"


def _type(plan: PlanStanding, name: str, row: Row, now: datetime) -> dict[str, Any]:
    unit, total = plan.tokens[name], plan.used[name]
    before_cycle, before_window, _ = row["totals"]
    used, recent = total - before_cycle, total - before_window
    return {
        "balance": unit.balance,
        "reserved": unit.reserved,
        "allowance": unit.allowance,
        "total_allocated": unit.allocated,
        "total_used": used,
        "used_percent": min(100, max(0, used) * 100 // unit.allocated) if unit.allocated else None,
        "refresh_date": plan.refresh_date,
        "last_used_at": row["last_used_at"],
        "status": status_of(unit),
        "forecast": forecast(unit.balance, recent, now, plan.refresh_date),
    }


def _upgrade(services: Services, plan: PlanStanding) -> dict[str, str] | None:
    """What a dashboard offers to an organisation whose plan gives no tokens."""
    if any(unit.allowance for unit in plan.tokens.values()):
        return None
    return {
        "label": "Upgrade Plan",
        "message": f"The plan {plan.plan} has no tokens. Upgrade to use these features.",
        "href": services.settings.link_plan,
    }


async def _monitoring(
    call: Call, wanted: dict[str, Any], tokens: dict[str, dict[str, Any]], in_month: dict[str, int]
) -> dict[str, Any]:
    """Of the calendar month so far (UTC); `in_month` is what was used of each type."""
    features, users = await gather(
        call.rows(_BY.format(what="feature"), **wanted), call.rows(_BY.format(what="user_id"), **wanted)
    )
    at_risk = [
        name
        for name, each in tokens.items()
        if (each["used_percent"] or 0) >= RISK_PERCENT or each["forecast"]["before_refresh"]
    ]
    return {
        "month": wanted["month"],
        "tokens_this_month": sum(in_month.values()),
        "by_type": {name: in_month[name] for name in sorted(in_month) if in_month[name]},
        "top_features": [_named(row, "feature") for row in features],
        "use_per_user": [_named(row, "user_id") for row in users],
        "forecast_method": METHOD,
        "at_risk": at_risk,
    }


def _named(row: Row, name: str) -> dict[str, Any]:
    return {name: row.pop("name") or None, **row}


class UseBody(NotedBody):
    """`quantity` uses of a token type or a feature; with both, the feature is only a label.

    `check` asks, `deduct` charges at once. `user_id`: who uses them, oneself where not given by a user.
    """

    action: Literal["check", "deduct"]
    token_type: Name | None = None
    feature: Model | None = None
    quantity: Amount = 1
    complexity: Annotated[str | None, Field(max_length=255)] = None
    user_id: Id | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.token_type is None and self.feature is None:
            raise ValueError("needs a token_type or a feature")
        return self


class UseAnswer(BaseModel):
    """Whether it is allowed. `balance`: tokens of the type that are left, after a deduction; `cost`: tokens.

    `reason`: `ok`, `plan_blocked`, `group_limit` or `insufficient_tokens`; `detail` is its sentence for people. `plan`:
    the plan that blocks. `group_id`: the group whose limit refuses, with its `limit`, `used` and `remaining`.
    """

    allowed: bool
    reason: str
    detail: str | None = None
    token_type: str | None = None
    cost: int | None = None
    balance: int | None = None
    deficit: int | None = None
    refresh_date: datetime | None = None
    plan: str | None = None
    group_id: str | None = None
    limit: int | None = None
    used: int | None = None
    remaining: int | None = None
    debit_id: str | None = None
    position: str


def who_uses(call: Call, body: UseBody) -> str | None:
    """The user who uses the tokens, None where a program names no user. Raises Problem (403)."""
    if call.principal.role is not Role.USER:
        return body.user_id
    own_only(call, body.user_id or call.principal.sub)
    return call.principal.sub


def question(call: Call, body: UseBody) -> TokensNow:
    """The question whether the use would be accepted."""
    return TokensNow(
        token_type=body.token_type,
        feature=body.feature,
        quantity=body.quantity,
        complexity=body.complexity,
        user=who_uses(call, body),
    )


def _deduct(call: Call, body: UseBody, sealed: str | None) -> Any:
    return DeductTokens(
        debit_id=uuid7(),
        token_type=body.token_type,
        feature=body.feature,
        quantity=body.quantity,
        complexity=body.complexity,
        user=who_uses(call, body),
        sealed=sealed,
    )


# A part of the endpoint `use_tokens`, which also answers what a use would cost.
_DEDUCT = command(
    "POST /api/v1/tokens/check-balance",
    May.USE_TOKENS,
    UseAnswer,
    name="use_tokens",
    account=lambda call, body: f"org:{call.org}:tokens.{body.token_type or 'feature'}",
    check=who_uses,
    tell=lambda call, _body, outcome: _deducted(call, outcome),
)(_deduct)


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
async def read_token_stats(call: Call, min_position: MinPosition = None) -> dict[str, Any]:
    """Plan tokens by type, and how they are used."""
    await seen(call, min_position)
    return await token_stats(call)


@endpoint("GET /api/v1/tokens/usage-log", May.READ_CREDITS, page_of(TokenUseRow))
async def list_token_usage(
    call: Call,
    page: Page,
    token_type: Filter = None,
    user_id: UserId = None,
    feature: Filter = None,
    from_: Annotated[QueryDay | None, Query(alias="from")] = None,
    to: QueryDay | None = None,
) -> dict[str, Any]:
    """The log of plan tokens that were used, newest first."""
    from_, to = await moments(call, from_, to)
    user = seen_user(call, user_id)
    pages = await page.of(call, "token-usage", token_type or "", user or "", feature or "")
    wanted = {"token_type": token_type, "user": user, "feature": feature, "from": from_, "to": to}
    rows = await pages.rows(_LOG, {"before": LAST}, **wanted)
    await open_text(call, f"org:{call.org}:tokens", rows)
    return pages.page(rows, ["position"], lambda row: {"organisation": call.org, **positioned(row)})


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
    """What a deduction would be answered now; nothing is written. A refusal is published to `scrip.decisions`."""
    answered = await call.ask(question(call, body))
    use: TokenAnswer = answered.value
    answer = {**_use_answer(use), "position": format_position(answered.position)}
    if use.refusal is not None:
        call.services.metrics.refused(_DEDUCT.name, use.reason)
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
    left: TokensLeft = outcome.result_state or await _left_then(call, outcome, event.debit_id)
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


async def _left_then(call: Call, outcome: Outcome, debit_id: str) -> TokensLeft:
    """What was left after the deduction, and its cycle's end: the first answer, which no event carries.

    Cycles never move, so their end is known from the time alone (docs/decisions/0008).
    """
    await seen(call, format_position(outcome.position))
    row = await call.row(_LEFT, position=outcome.position, events=len(outcome.events), id=debit_id)
    if row is None:
        raise unavailable()
    organisation = (await call.ask(OrganisationNow())).value
    return TokensLeft(max(0, row["remaining"]), organisation.refresh_date(outcome.time) if outcome.time else None)


async def _refused(call: Call, body: UseBody, refusal: Refused, position: int) -> dict[str, Any]:
    """The refusal as it was decided, its numbers included; a full group does not know the cost, so that is asked."""
    answer = _short(refusal)
    if "required" not in refusal.facts:
        now: TokenAnswer = (await call.ask(question(call, body))).value
        answer |= {"token_type": now.token_type, "cost": now.cost, "balance": now.balance}
        answer["refresh_date"] = now.refresh_date
    return {**answer, "position": format_position(position)}


def _use_answer(use: TokenAnswer) -> dict[str, Any]:
    """The answer to a question; a refusal says what the same refusal of a deduction says."""
    if use.refusal is None:
        return {
            "allowed": True,
            "reason": OK,
            "detail": None,
            "token_type": use.token_type,
            "cost": use.cost,
            "balance": use.balance,
            "refresh_date": use.refresh_date,
        }
    answer = _short(Refused.of(use.refusal))
    return answer | {"token_type": use.token_type, "cost": use.cost, "balance": use.balance}


def _short(refusal: Refused) -> dict[str, Any]:
    facts = refusal.facts
    answer = {
        "allowed": False,
        "reason": refusal.code,
        "detail": refusal.detail,
        "token_type": facts.get("token_type"),
        "cost": facts.get("required"),
        "balance": facts.get("available", 0),
        "deficit": facts.get("deficit", facts.get("required")),
        "refresh_date": facts.get("refresh_date"),
    }
    return answer | {name: facts[name] for name in ("plan", "group_id", "limit", "used", "remaining") if name in facts}
