"""The caller themselves, and tokens of role `user` for a browser."""

from asyncio import gather
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from api.current import ask, read_current
from api.fields import Body, Id
from api.operation import Call
from api.problems import Problem
from api.reading import Json
from api.routes.storage import storage_answer
from api.routing import BodyRoute, Given, ReadRoute, call_of
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


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def read_me(call: Annotated[Call, Depends(call_of)]) -> Json:
        who = call.principal
        streams = {unit: stream_of(f"user:{who.sub}:{unit}") for unit in ("credits", "tokens")}
        memberships = memberships_of(who.sub)
        now, storage, budget = await gather(
            read_current(services, call.org, memberships, *streams.values()),
            ask(services, call.org, StorageNow(user=who.sub, default_limit=call.defaults.storage_limit)),
            ask(services, call.org, BudgetNow(user=who.sub)),
        )
        groups = await gather(*(_group(services, call.org, each) for each in now.states[memberships].groups))
        parts = {}
        for unit, stream in streams.items():
            account = now.states[stream]
            parts[unit] = {"available": account.available, "reserved": account.reserved}
        told: dict[str, Any] = {"user": {"id": who.sub, "org": call.org, "role": who.role.value}, **parts}
        told |= {"storage": storage_answer(storage.value), "budget": _budget(budget.value)}
        told |= {"groups": [group for group in groups if group], "position": format_position(now.position)}
        return Json(told, headers={"Cache-Control": "no-store"})

    return [
        ReadRoute("/api/auth/me", read_me, services, "The caller and what they have", Myself),
        BodyRoute(
            "/api/v1/session-tokens",
            _issue_session_token,
            services,
            "A token of role user for a browser",
            SessionBody,
            SessionAnswer,
            status=201,
            keyed=False,
        ),
    ]


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


async def _issue_session_token(given: Given) -> tuple[dict[str, Any], dict[str, str]]:
    body: SessionBody = given.body
    try:
        token, ends = given.services.tokens.issue(given.call.org, body.user_id, Role.USER, body.ttl_seconds)
    except LookupError:
        raise Problem(
            409, "not_configured", "Session tokens need SCRIP_JWT_SECRET, which this deployment does not have."
        ) from None
    return {"token": token, "expires_at": datetime.fromtimestamp(ends, UTC)}, {"Cache-Control": "no-store"}
