"""The caller themselves, and tokens of role `user` for a browser."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from api.current import read_current
from api.fields import Body, Id
from api.operation import Call
from api.problems import Problem
from api.reading import Json, current
from api.routing import BodyRoute, Given, ReadRoute, call_of
from api.schemas import Myself
from api.services import Services
from domain.credits.address import stream_of
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
        now = await read_current(services, call.org, *streams.values())
        parts = {}
        for unit, stream in streams.items():
            account = now.states[stream]
            parts[unit] = {"available": account.available, "reserved": account.reserved}
        told: dict[str, Any] = {"user": {"id": who.sub, "org": call.org, "role": who.role.value}, **parts}
        told |= {"storage": None, "budget": None, "groups": [], "position": format_position(now.position)}
        return Json(told, headers={"Cache-Control": "no-store"})

    return [
        ReadRoute(
            "GET",
            "/api/auth/me",
            read_me,
            services,
            operation="read_me",
            summary="The caller and what they have",
            answers=Myself,
            dependencies=[Depends(current)],
        ),
        BodyRoute(
            "/api/v1/session-tokens",
            _issue,
            services,
            operation="issue_session_token",
            summary="A token of role user for a browser",
            body=SessionBody,
            answers=SessionAnswer,
            status=201,
            keyed=False,
        ),
    ]


async def _issue(given: Given) -> tuple[dict[str, Any], dict[str, str]]:
    body: SessionBody = given.body
    try:
        token, ends = given.services.tokens.issue(given.call.org, body.user_id, Role.USER, body.ttl_seconds)
    except LookupError:
        raise Problem(
            409, "not_configured", "Session tokens need SCRIP_JWT_SECRET, which this deployment does not have."
        ) from None
    return {"token": token, "expires_at": datetime.fromtimestamp(ends, UTC)}, {"Cache-Control": "no-store"}
