"""The API keys of an organisation."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

import structlog
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.http.caller import Call
from api.http.command import key_reused
from api.http.endpoint import REPLAYED, endpoint
from api.http.fields import Body, Label, Time
from api.http.lists import Json, Page, page_of
from api.http.policy import SCOPES, May
from api.http.problems import Problem, invalid, not_found
from infra.security.api_keys import MAX_API_KEYS, ApiKey, KeyTaken, TooManyApiKeys
from infra.security.principal import Role


class ApiKeyRow(BaseModel):
    """An API key without its secret."""

    id: str
    name: str
    role: str
    scopes: list[str] | None = None
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


log = structlog.get_logger()


class ApiKeyBody(Body):
    """`scopes` none for all that the role may. `admin`: only an admin may make such a key."""

    name: Label
    role: Literal["worker", "org_admin", "auditor", "admin"] = "worker"
    scopes: Annotated[list[str], Field(min_length=1, max_length=32, examples=[sorted(SCOPES)])] | None = None
    expires_at: Time | None = None


class ApiKeyAnswer(ApiKeyRow):
    """`key` is shown now and never again."""

    key: str


@endpoint("GET /api/v1/api-keys", May.MANAGE_KEYS, page_of(ApiKeyRow))
async def list_api_keys(call: Call, page: Page) -> dict[str, Any]:
    """The organisation's API keys."""
    pages = page.cursors(call, "api-keys")
    last = pages.given(datetime, str)
    keys = await call.services.keys.of(call.org, (last[0], last[1]) if last else None, pages.more)
    return pages.page([_shown(key) for key in keys], ["created_at", "id"])


@endpoint("DELETE /api/v1/api-keys/{id}", May.MANAGE_KEYS, status=204)
async def revoke_api_key(call: Call, id: str) -> Response:
    """End an API key."""
    if not await call.services.keys.revoke(call.org, id):
        raise not_found("API key", id)
    call.services.authenticator.forget_key(id)
    log.info("api key revoked", actor=call.principal.actor, org=call.org, key=id)
    return Response(status_code=204)


@endpoint("POST /api/v1/api-keys", May.MANAGE_KEYS, ApiKeyAnswer, status=201)
async def create_api_key(call: Call, body: ApiKeyBody) -> Json:
    """Make an API key."""
    _may_give(call, body)
    idempotency = (call.key, call.fingerprint) if call.key is not None else None
    try:
        key, text, replayed = await call.services.keys.create(
            call.org,
            body.name,
            Role(body.role),
            body.scopes,
            body.expires_at,
            by=call.principal.actor,
            idempotency=idempotency,
        )
    except KeyTaken:
        raise key_reused() from None
    except TooManyApiKeys:
        raise Problem(
            409,
            "too_many_api_keys",
            f"An organisation may have {MAX_API_KEYS} API keys, revoked ones included.",
            limit=MAX_API_KEYS,
        ) from None
    log.info("api key made", actor=call.principal.actor, org=call.org, key=key.id, role=body.role)
    headers = {"Cache-Control": "no-store"} | (REPLAYED if replayed else {})
    return Json({**_shown(key), "key": text}, status_code=201, headers=headers)


def _may_give(call: Call, body: ApiKeyBody) -> None:
    """Nobody gives a key more than they have. Raises Problem (403, 422)."""
    who = call.principal
    for scope in body.scopes or ():
        if scope not in SCOPES:
            raise invalid("scopes", f"must be among {', '.join(sorted(SCOPES))}", allowed=sorted(SCOPES))
    if body.role == "admin" and who.role is not Role.ADMIN:
        raise Problem(403, "forbidden", "Only an admin may make a key of the role admin.", field="role")
    if who.scopes is not None and not (body.scopes and set(body.scopes) <= who.scopes):
        raise Problem(
            403, "missing_scope", "An API key cannot make a key with more scopes than its own.", field="scopes"
        )


def _shown(key: ApiKey) -> dict[str, Any]:
    answer = asdict(key)
    del answer["org"]
    return answer
