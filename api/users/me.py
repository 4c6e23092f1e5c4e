"""The caller's own credits: what they have; reserve, confirm and roll back (S4)."""

from asyncio import gather
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from api.budgets import figures_of
from api.generations.answers import Held, Quote, my_transaction, refusal_facts
from api.generations.commands import OperationName, generation_user, reserved_by_caller
from api.generations.storage import storage_answer
from api.http.caller import Call, Found
from api.http.command import command
from api.http.endpoint import endpoint
from api.http.fields import Amount, Body, Id, Model, NotedBody, Options, Ttl
from api.http.lists import Json
from api.http.policy import May
from api.http.problems import Problem
from domain.budgets.commands import BudgetNow, BudgetUse
from domain.credits.address import stream_of
from domain.credits.commands import DEFAULT_TTL_S, Capture, Release, Reserve
from domain.generations.commands import CancelGeneration, ConfirmGeneration
from domain.generations.create import CreateGeneration
from domain.generations.request import Request
from domain.groups.now import GroupNow, GroupUse
from domain.groups.state import memberships_of
from domain.money import decimal_text
from domain.prices.book import STREAM, PriceBook
from domain.storage.state import StorageNow
from infra.ids import uuid7
from infra.partitions import PLATFORM
from infra.position import format_position
from infra.security.principal import Role
from infra.security.tokens import MAX_SESSION_S


class Part(BaseModel):
    """What may be spent and what is held."""

    available: int
    reserved: int


class Myself(BaseModel):
    """The caller and what they have. What this installation does not keep is null."""

    user: dict[str, str]
    credits: Part
    tokens: Part
    storage: dict[str, Any] | None = None
    budget: dict[str, Any] | None = None
    groups: list[dict[str, Any]]
    position: str


_PRICED = ("model", "options", "provider", "operation")
UNNAMED = "other"  # the operation of a model that the price book has for any


class MyCreditsBody(NotedBody):
    """`reserve` takes exactly one of `amount` and `model` with `options`; the others take `transaction_id`."""

    action: Literal["reserve", "confirm", "rollback"]
    amount: Amount | None = None
    model: Model | None = None
    options: Options | None = None
    provider: Model | None = None
    operation: OperationName | None = None
    ttl_seconds: Ttl | None = None
    transaction_id: Id | None = None

    @model_validator(mode="after")
    def _fits_the_action(self) -> Self:
        priced = [name for name in _PRICED if getattr(self, name) is not None]
        if self.action == "reserve":
            if self.transaction_id is not None:
                raise ValueError("transaction_id belongs to confirm and rollback")
            if (self.amount is None) == (self.model is None):
                raise ValueError("exactly one of amount and model is needed to reserve")
            if self.amount is not None and priced:
                raise ValueError(f"{priced[0]} needs a model to be priced by, not an amount")
        elif self.transaction_id is None:
            raise ValueError(f"transaction_id is needed to {self.action}")
        elif self.amount is not None or priced or self.ttl_seconds is not None:
            raise ValueError(f"{self.action} takes no amount, model or ttl_seconds: it settles the whole hold")
        return self


class MyCreditsAnswer(BaseModel):
    """The hold or generation that is the caller's transaction, and what became of it. Amounts are credits."""

    transaction_id: str
    generation_id: str | None = None
    status: str | None = None
    quote: Quote | None = None
    holds: list[Held] | None = None
    charged: dict[str, int | str] | None = None
    uncharged: dict[str, int | str] | None = None
    shortfall: dict[str, int | str] | None = None
    contents: list[str] | None = None
    usage: dict[str, int] | None = None
    amount: int | None = None
    expires_at: datetime | None = None
    item: str | None = None
    price_version: int | None = None
    debit_id: str | None = None
    returned: int | None = None
    final: bool | None = None
    position: str


def _own(call: Call, _body: Any = None) -> str:
    return f"user:{call.principal.sub}:credits"


async def _look(call: Call, body: MyCreditsBody) -> Call:
    """Whether the transaction is a generation, and whose; what a model without an operation is priced for."""
    if body.transaction_id is not None:
        owner = await generation_user(call, body.transaction_id)
        if owner is not None and owner != call.principal.sub:
            raise Problem(403, "not_own", "Only one's own transactions can be settled here.", field="transaction_id")
        if owner is None:
            await reserved_by_caller(call, body.transaction_id)
        return replace(call, found=Found(owner=owner))
    if body.model is None or body.operation is not None:
        return call
    now = await call.services.current(PLATFORM, STREAM)
    book: PriceBook = now.states[STREAM]
    version = book.at(now.time)
    model = body.model.casefold()
    named = [entry for entry in version.entries if (entry.model or "").casefold() == model] if version else []
    operations = {entry.operation.lower() for entry in named if entry.operation is not None}
    if len(operations) > 1:
        raise Problem(422, "missing_field", "operation: the model has prices for several.", field="operation")
    return replace(call, found=Found(operation=next(iter(operations), UNNAMED)))


def _settle(call: Call, action: str, transaction_id: str, sealed: str | None) -> Any:
    """Confirm or roll back. Of a generation only the whole hold, and only before a worker has started (contract)."""
    confirms = action == "confirm"
    if call.found.owner is not None:
        if confirms:
            return ConfirmGeneration(generation_id=transaction_id, unstarted=True, sealed=sealed)
        return CancelGeneration(generation_id=transaction_id, sealed=sealed)
    if confirms:
        return Capture(address=_own(call), reservation_id=transaction_id, debit_id=uuid7(), sealed=sealed)
    return Release(address=_own(call), reservation_id=transaction_id, sealed=sealed)


@command(
    "POST /api/credits/me",
    May.SPEND_OWN_CREDITS,
    MyCreditsAnswer,
    answer=my_transaction,
    account=_own,
    look=_look,
    facts=refusal_facts,
    limited=lambda body: body.model is not None,
    free=lambda body: body.action != "confirm",
)
def use_my_credits(call: Call, body: MyCreditsBody, sealed: str | None) -> Any:
    """Reserve, confirm or roll back credits for oneself."""
    if body.transaction_id is not None:
        return _settle(call, body.action, body.transaction_id, sealed)
    ttl_s = body.ttl_seconds or DEFAULT_TTL_S
    if body.amount is not None:
        return Reserve(address=_own(call), reservation_id=uuid7(), amount=body.amount, ttl_s=ttl_s, sealed=sealed)
    request = Request(
        user=call.principal.sub,
        operation=(body.operation or call.found.operation or UNNAMED).lower(),
        provider=body.provider,
        model=body.model,
        options=body.options or {},
        defaults=call.services.defaults,
    )
    return CreateGeneration(generation_id=uuid7(), request=request, ttl_s=ttl_s, sealed=sealed)


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
        call.services.current(call.org, memberships, *streams.values()),
        call.ask(StorageNow(user=who.sub, default_limit=call.services.defaults.storage_limit)),
        call.ask(BudgetNow(user=who.sub)),
    )
    groups = await gather(*(_group(call, each) for each in now.states[memberships].groups))
    parts = {}
    for unit, stream in streams.items():
        account = now.states[stream]
        parts[unit] = {"available": account.available, "reserved": account.reserved}
    spent: BudgetUse = budget.value
    answer: dict[str, Any] = {
        "user": {"id": who.sub, "org": call.org, "role": who.role.value},
        **parts,
        "storage": storage_answer(storage.value),
        "budget": figures_of(spent) | {"reserved": decimal_text(spent.held)},
        "groups": [group for group in groups if group],
        "position": format_position(now.position),
    }
    return Json(answer, headers={"Cache-Control": "no-store"})


async def _group(call: Call, group_id: str) -> dict[str, Any] | None:
    """A group that the caller is in; None for one that is being deleted. Raises Problem (503)."""
    try:
        use: GroupUse = (await call.ask(GroupNow(group_id=group_id))).value
    except Problem as problem:
        if problem.status != HTTPStatus.NOT_FOUND:
            raise
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
