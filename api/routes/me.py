"""The caller themselves, and tokens of role `user` for a browser."""

from asyncio import gather
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from api.current import ask, read_current
from api.fields import Body, Id
from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import May
from api.problems import Problem
from api.reading import Json
from api.routes.storage import storage_answer
from api.schemas import Myself
from api.services import Services
from domain.budgets.now import BudgetNow, BudgetUse
from domain.credits.address import stream_of
from domain.groups.now import GroupNow, GroupUse
from domain.groups.state import memberships_of
from domain.money import decimal_text
from domain.refusal import Refusal
from domain.storage.now import StorageNow
from infra.position import format_position
from infra.security.principal import Role
from infra.security.tokens import MAX_SESSION_S

DEFAULT_SESSION_S = 900


class SessionBody(Body):
    """For whom and how long."""

    user_id: Id
    ttl_seconds: Annotated[int, Field(ge=1, le=MAX_SESSION_S)] = DEFAULT_SESSION_S


class SessionAnswer(BaseModel):
    """A token of role `user`."""

    token: str
    expires_at: datetime


@endpoint("GET /api/auth/me", May.READ_CREDITS, Myself)
async def read_me(call: Call) -> Json:
    """The caller and what they have."""
    who = call.principal
    streams = {unit: stream_of(f"user:{who.sub}:{unit}") for unit in ("credits", "tokens")}
    memberships = memberships_of(who.sub)
    now, storage, budget = await gather(
        read_current(call.services, call.org, memberships, *streams.values()),
        ask(call.services, call.org, StorageNow(user=who.sub, default_limit=call.services.defaults.storage_limit)),
        ask(call.services, call.org, BudgetNow(user=who.sub)),
    )
    groups = await gather(*(_group(call.services, call.org, each) for each in now.states[memberships].groups))
    parts = {}
    for unit, stream in streams.items():
        account = now.states[stream]
        parts[unit] = {"available": account.available, "reserved": account.reserved}
    told: dict[str, Any] = {"user": {"id": who.sub, "org": call.org, "role": who.role.value}, **parts}
    told |= {"storage": storage_answer(storage.value), "budget": _budget(budget.value)}
    told |= {"groups": [group for group in groups if group], "position": format_position(now.position)}
    return Json(told, headers={"Cache-Control": "no-store"})


def _budget(use: BudgetUse) -> dict[str, Any]:
    return {
        "monthly_budget": decimal_text(use.monthly),
        "used_monthly": decimal_text(use.used),
        "reserved": decimal_text(use.held),
        "remaining": decimal_text(use.remaining),
        "currency": "USD",
        "period_start": use.period.start,
        "period_end": use.period.end,
    }


async def _group(services: Services, org: str, group_id: str) -> dict[str, Any] | None:
    """A group that the caller is in; none for one that is being deleted."""
    try:
        use: GroupUse = (await ask(services, org, GroupNow(group_id=group_id))).value
    except Refusal:
        return None
    shown = {what: use.rooms[what] for what in ("image", "video")}
    return {
        "id": group_id,
        "name": use.group.name,
        "usage": {what: room.used for what, room in shown.items()},
        "remaining": {what: room.remaining for what, room in shown.items()},
        "status": use.status,
    }


@endpoint("POST /api/v1/session-tokens", May.ISSUE_SESSIONS, SessionAnswer, status=201, keyed=False)
async def issue_session_token(call: Call, body: SessionBody) -> Json:
    """A token of role user for a browser."""
    try:
        token, ends = call.services.tokens.issue(call.org, body.user_id, Role.USER, body.ttl_seconds)
    except LookupError:
        raise Problem(
            409, "not_configured", "Session tokens need SCRIP_JWT_SECRET, which this deployment does not have."
        ) from None
    return Json(
        {"token": token, "expires_at": datetime.fromtimestamp(ends, UTC)},
        status_code=201,
        headers={"Cache-Control": "no-store"},
    )
