"""Commands on generations: hold, start, extend, cancel, confirm, fail, refund (S0, S4); and whose a generation is."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator

from api.accounts.commands import PaidBody
from api.generations.answers import Held, Quote, cancelled, created, extended, refunded, refusal_facts, settled, started
from api.http.caller import Call, Found, own_only, user_of
from api.http.command import command
from api.http.database import UNREACHABLE
from api.http.endpoint import Answer
from api.http.fields import (
    MAX_AMOUNT,
    Amount,
    Body,
    Count,
    Id,
    Metadata,
    Model,
    Name,
    Options,
    Text,
    Ttl,
    Units,
    Usd,
)
from api.http.policy import May
from api.http.problems import Problem, away, refused
from domain.credits.address import reservation_tag
from domain.credits.address import stream_of as account_stream
from domain.credits.refusals import NotFound
from domain.generations.commands import (
    CancelGeneration,
    ConfirmGeneration,
    ExtendGeneration,
    FailGeneration,
    StartGeneration,
)
from domain.generations.create import DEFAULT_TTL_S, CreateGeneration
from domain.generations.events import Content, GenerationHeld
from domain.generations.refund import RefundGeneration
from domain.generations.refusals import NoSuchGeneration
from domain.generations.request import Request
from domain.generations.settlement import Reported
from domain.generations.state import Generation, stream_of
from domain.money import micros
from domain.organisations.events import Outcome as GenerationOutcome
from domain.refusal import Refusal
from domain.storage.events import ContentStored
from domain.storage.refusals import NoSuchContent
from domain.storage.state import PREFIX, content_tag
from infra.ids import uuid7
from infra.security.principal import Role
from infra.writer.submission import Outcome, Refused

_RESERVED_BY = """
    select actor from events
    where org = %(org)s and tag = %(tag)s and stream = %(stream)s and type like 'credits-reserved.%%'
    order by position limit 1"""


async def of_generation(call: Call, _body: Any = None) -> Call:
    """The call with the user whose generation it is about. Raises Problem (403, 404, 503)."""
    owner = await generation_user(call, call.id)
    if owner is None:
        raise _missing(NoSuchGeneration(generation_id=call.id))
    own_only(call, owner)
    return replace(call, found=Found(owner=owner))


async def of_content(call: Call, _body: Any = None) -> Call:
    """The call with the user whose content it is about. Raises Problem (403, 404, 503)."""
    tag = content_tag(call.id)
    now = await call.services.current(call.org, tags=(tag,))
    streams = [stream for stream, event in now.tagged[tag] if isinstance(event, ContentStored)]
    if not streams:
        raise _missing(NoSuchContent(content_id=call.id))
    owner = streams[-1].removeprefix(PREFIX)
    own_only(call, owner)
    return replace(call, found=Found(owner=owner))


async def generation_user(call: Call, generation_id: str) -> str | None:
    """The user whose generation it is, none where there is no such generation. Raises Problem (503)."""
    owners = call.services.owners
    known = owners.user(call.org, generation_id)
    if known is not None:
        return known
    stream = stream_of(generation_id)
    generation: Generation = (await call.services.current(call.org, stream)).states[stream]
    if generation.asked is None:
        return None
    owners.note(call.org, generation_id, generation.asked.user)
    return generation.asked.user


async def reserved_by_caller(call: Call, reservation_id: str) -> None:
    """Raises Problem: 403 for a reservation of the caller's credits that another caller has made, 404 for none, 503.

    A user who could release what a worker holds would have the work for nothing. One that is not there yet is refused
    here, for the decision, which comes later, does not know who has made it.
    """
    stream = account_stream(f"user:{call.principal.sub}:credits")
    try:
        row = await call.row(_RESERVED_BY, tag=reservation_tag(reservation_id), stream=stream)
    except UNREACHABLE as error:
        raise away(error) from None
    if row is None:
        raise _missing(NotFound(what="reservation", id=reservation_id))
    if row["actor"] != call.principal.actor:
        raise Problem(403, "not_own", "Only who reserved this can settle it here.", field="transaction_id")


def _missing(refusal: Refusal) -> Problem:
    return refused(Refused.of(refusal))


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


@command(
    "POST /api/v1/generations",
    May.CREATE_GENERATIONS,
    CreateAnswer,
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


MAX_CONTENTS = 500
MAX_CONFIRM_BODY = 2_621_440  # their URLs, of 4,000 characters each
MAX_REFUND_BODY = 196_608  # their ids, of 255 characters each
Milliseconds = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
# By value, for a body is strict: the JSON text is what is given.
OutcomeName = Annotated[GenerationOutcome, Field(strict=False)]


class ActualBody(Body):
    """What it really cost, where that is not what was held."""

    credits: Count | None = None
    tokens: Count | None = None
    usd: Usd | None = None


class ContentBody(Body):
    """A generated object that is kept: its size counts, its URL is kept encrypted."""

    id: Id | None = None
    url: Annotated[str, StringConstraints(min_length=1, max_length=4_000)] | None = None
    bytes: Count


class ConfirmBody(Body):
    """`succeeded`: how many of `count`. With `final` what is left of the holds goes back; without, parts may follow.

    What is not given follows from what was held: by default all of it is charged.
    """

    usage: Units | None = None
    actual: ActualBody | None = None
    content: ContentBody | None = None
    contents: Annotated[list[ContentBody], Field(max_length=MAX_CONTENTS)] = Field(default_factory=list)
    succeeded: Count | None = None
    provider_cost: PaidBody | None = None
    generation_time_ms: Milliseconds | None = None
    final: bool = True

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.content is not None and self.contents:
            raise ValueError("takes content for one object or contents for several, not both")
        return self

    @property
    def kept(self) -> list[ContentBody]:
        """All objects that are kept."""
        return self.contents if self.content is None else [self.content]


class SettlementAnswer(BaseModel):
    """`charged` and `returned` by unit; `uncharged`: cost above the hold that nobody paid; `shortfall`: what is owed.

    `contents`: the ids of what is stored, in the order in which it was named. `usage`: units as they were reported.
    """

    generation_id: str
    status: str
    outcome: str | None = None
    charged: dict[str, int | str]
    returned: dict[str, int | str]
    uncharged: dict[str, int | str]
    shortfall: dict[str, int | str]
    contents: list[str]
    usage: dict[str, int] = Field(default_factory=dict)
    position: str


class FailBody(Body):
    """Why it failed. What is charged, if anything, is the organisation's settlement policy.

    `usage`: what was used until then, for example by a stream that was cut. Where the price has rates, the policy's
    percentage counts from what that costs, else from the hold.
    """

    outcome: OutcomeName
    usage: Units | None = None
    error_message: Text | None = None
    generation_time_ms: Milliseconds | None = None
    provider_cost: PaidBody | None = None


class RefundGenerationBody(Body):
    """`amount` in what it mainly cost (credits, else tokens), or `contents` for their share; without both, the rest."""

    amount: Amount | None = None
    contents: Annotated[list[Id], Field(max_length=MAX_CONTENTS)] = Field(default_factory=list)
    reason: Text

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.amount is not None and self.contents:
            raise ValueError("takes amount or contents, not both")
        return self


class RefundGenerationAnswer(BaseModel):
    """What came back, by unit. `written_off`: what was used, never charged, and is no longer owed."""

    generation_id: str
    refund_id: str
    returned: dict[str, int | str]
    written_off: dict[str, int | str] = Field(default_factory=dict)
    contents: list[str]
    position: str


def _urls(body: ConfirmBody) -> dict[str, dict[str, Any]]:
    """Each URL is sealed separately, under the content's place."""
    return {str(place): {"url": content.url} for place, content in enumerate(body.kept)}


async def _owner_of_urls(call: Call, body: ConfirmBody) -> Call:
    """The user's key seals the URLs; without any, whose generation it is need not be known."""
    return await of_generation(call) if any(content.url for content in body.kept) else call


async def _owner_of_message(call: Call, body: FailBody) -> Call:
    return await of_generation(call) if body.error_message else call


def _subject(call: Call, _body: Any) -> str:
    return f"user:{call.found.owner}:credits"


@command(
    "POST /api/v1/generations/{id}/confirm",
    May.SETTLE_GENERATIONS,
    SettlementAnswer,
    max_bytes=MAX_CONFIRM_BODY,
    answer=settled,
    account=_subject,
    look=_owner_of_urls,
    texts=_urls,
    sized=True,
)
def confirm_generation(call: Call, body: ConfirmBody, sealed: dict[str, str | None]) -> Any:
    """Charge what a generation really cost, and store what it made."""
    actual = body.actual or ActualBody()
    contents = tuple(Content(each.id or uuid7(), each.bytes) for each in body.kept)
    return ConfirmGeneration(
        generation_id=call.id,
        reported=Reported(
            usage=body.usage,
            credits=actual.credits,
            tokens=actual.tokens,
            usd=micros(actual.usd) if actual.usd is not None else None,
            contents=contents,
            succeeded=body.succeeded,
            provider_cost=body.provider_cost.paid if body.provider_cost else None,
            generation_time_ms=body.generation_time_ms,
        ),
        final=body.final,
        sealed_urls={content.id: sealed.get(str(place)) for place, content in enumerate(contents)},
    )


@command(
    "POST /api/v1/generations/{id}/fail",
    May.SETTLE_GENERATIONS,
    SettlementAnswer,
    answer=settled,
    account=_subject,
    look=_owner_of_message,
)
def fail_generation(call: Call, body: FailBody, sealed: str | None) -> Any:
    """Give back what a generation held that failed."""
    reported = Reported(
        usage=body.usage,
        provider_cost=body.provider_cost.paid if body.provider_cost else None,
        generation_time_ms=body.generation_time_ms,
    )
    return FailGeneration(generation_id=call.id, outcome=body.outcome, reported=reported, sealed=sealed)


@command(
    "POST /api/v1/generations/{id}/refund",
    May.SETTLE_GENERATIONS,
    RefundGenerationAnswer,
    max_bytes=MAX_REFUND_BODY,
    answer=refunded,
    account=_subject,
    look=of_generation,
)
def refund_generation(call: Call, body: RefundGenerationBody, sealed: str | None) -> Any:
    """Give back what a generation was charged, whole or in part."""
    return RefundGeneration(
        generation_id=call.id,
        refund_id=uuid7(),
        amount=body.amount,
        contents=tuple(body.contents),
        sealed=sealed,
    )
