"""Hold what a generation needs, start it, call it off, keep it alive: everything before its outcome (S0, S4)."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from api.answers import Answer
from api.assessment import refusal_facts
from api.fields import Body, Count, Id, Metadata, Model, Name, Options, Text, Ttl, Units
from api.generation_answers import cancelled, created, extended, started
from api.http.caller import Call, user_of
from api.http.command import command
from api.http.policy import May
from api.owners import of_generation
from api.schemas_generations import Held, Quote
from domain.generations.create import DEFAULT_TTL_S, CreateGeneration
from domain.generations.events import GenerationHeld
from domain.generations.extend import ExtendGeneration
from domain.generations.request import Request
from domain.generations.start import CancelGeneration, StartGeneration
from infra.ids import uuid7
from infra.security.principal import Role
from infra.writer.submission import Outcome

MAX_PROMPT = 20_000
MAX_CREATE_BODY = 262_144  # a prompt of 20,000 characters, each of which JSON may write in 12 bytes

OperationName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$"),
    Field(
        description="image, video, music, chat, studio, marketing, playground, upload or the integrator's own; "
        "upper case is the same as lower case.",
        examples=["image"],
    ),
]
Prompt = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_PROMPT), Field(description="Free text; kept encrypted.")
]


class RequestBody(Body):
    """What is to be generated. `tokens` and `bytes` can raise what the service estimates, never lower it.

    `estimate`: units that it may use; they size the hold of what is priced by use. A user can only raise it.
    """

    user_id: Id | None = None
    operation: OperationName
    provider: Model | None = None
    model: Model | None = None
    options: Options = Field(default_factory=dict)
    tokens: Count | None = None
    bytes: Count | None = None
    estimate: Units | None = None
    token_type: Name | None = None
    feature: Model | None = None


class CreateBody(RequestBody):
    """`id`: the caller's own, for example that of a job. `parent_id`: the generation that this is a part of."""

    id: Id | None = None
    parent_id: Id | None = None
    prompt: Prompt | None = None
    reason: Text | None = None
    metadata: Metadata | None = None
    ttl_seconds: Ttl = DEFAULT_TTL_S


class CreateAnswer(BaseModel):
    """The generation and what is held for it; `transaction_id` is the same id."""

    generation_id: str
    transaction_id: str
    status: str
    quote: Quote
    holds: list[Held]
    expires_at: datetime
    position: str


class NoBody(Body):
    """Nothing is needed."""


class ChangeAnswer(BaseModel):
    """Where the generation stands; `returned`: what went back, by unit."""

    generation_id: str
    status: str
    returned: dict[str, int | str] | None = None
    position: str


class ExtendGenerationBody(Body):
    """All holds end `ttl_seconds` from now, never earlier than before; `grow` holds further credits (or tokens)."""

    ttl_seconds: Ttl
    grow: Count = 0


class ExtendGenerationAnswer(BaseModel):
    """The new end, and all that is held now."""

    generation_id: str
    expires_at: datetime
    holds: list[Held]
    position: str


def request_of(call: Call, body: RequestBody) -> Request:
    """The domain's request. Raises Problem for a user who names another."""
    return Request(
        user=user_of(call, body.user_id),
        operation=body.operation.lower(),
        provider=body.provider,
        model=body.model,
        options=body.options,
        tokens=body.tokens,
        bytes=body.bytes,
        token_type=body.token_type,
        feature=body.feature,
        defaults=call.services.defaults,
        estimate=body.estimate,
        may_lower=call.principal.role is not Role.USER,
    )


def _makes(call: Call, body: CreateBody) -> tuple[str, str] | None:
    return (body.id, user_of(call, body.user_id)) if body.id is not None else None


async def _created(call: Call, _body: CreateBody, outcome: Outcome) -> Answer:
    held = outcome.one(GenerationHeld)
    call.services.owners.note(call.org, held.generation_id, held.user)
    return created(outcome)


async def _own(call: Call, body: Any) -> Call:
    """A user may call off only their own; everybody else's right is that of the role."""
    return await of_generation(call, body) if call.principal.role is Role.USER else call


PATH = "/api/v1/generations"


@command(
    "POST /api/v1/generations",
    May.CREATE_GENERATIONS,
    CreateAnswer,
    answer=created,
    tell=_created,
    status=201,
    account=lambda call, body: f"user:{user_of(call, body.user_id)}:credits",
    check=lambda call, body: user_of(call, body.user_id),
    makes=_makes,
    facts=refusal_facts,
    limited=lambda _body: True,
    max_bytes=MAX_CREATE_BODY,
)
def create_generation(call: Call, body: CreateBody, sealed: str | None) -> Any:
    """Hold everything that a generation needs, or nothing of it."""
    return CreateGeneration(
        generation_id=body.id or uuid7(),
        request=request_of(call, body),
        ttl_s=body.ttl_seconds,
        own_id=body.id is not None,
        parent_id=body.parent_id,
        sealed=sealed,
    )


@command("POST /api/v1/generations/{id}/start", May.SETTLE_GENERATIONS, ChangeAnswer, answer=started)
def start_generation(call: Call, _body: NoBody, _sealed: str | None) -> Any:
    """A worker begins; from now on only the outcome ends it."""
    return StartGeneration(generation_id=call.id)


@command("POST /api/v1/generations/{id}/cancel", May.CREATE_GENERATIONS, ChangeAnswer, answer=cancelled, look=_own)
def cancel_generation(call: Call, _body: NoBody, _sealed: str | None) -> Any:
    """Call a generation off that no worker has started."""
    return CancelGeneration(generation_id=call.id)


@command("POST /api/v1/generations/{id}/extend", May.SETTLE_GENERATIONS, ExtendGenerationAnswer, answer=extended)
def extend_generation(call: Call, body: ExtendGenerationBody, _sealed: str | None) -> Any:
    """Keep a generation's holds alive while the work goes on."""
    return ExtendGeneration(generation_id=call.id, ttl_s=body.ttl_seconds, grow=body.grow)
