"""The outcome of a generation, and what is given back afterwards."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator

from api.commands.grants import PaidBody
from api.fields import MAX_AMOUNT, Amount, Body, Count, Id, Text, Units, Usd
from api.generation_answers import refunded, settled
from api.http.caller import Call
from api.http.command import command
from api.http.policy import May
from api.owners import of_generation
from domain.credits.events import Paid
from domain.generations.confirm import ConfirmGeneration
from domain.generations.events import Content
from domain.generations.fail import FailGeneration
from domain.generations.refund import RefundGeneration
from domain.generations.settlement import Reported
from domain.money import micros
from domain.organisations.events import Outcome
from infra.ids import uuid7

MAX_CONTENTS = 500
MAX_CONFIRM_BODY = 2_621_440  # their URLs, of 4,000 characters each
MAX_REFUND_BODY = 196_608  # their ids, of 255 characters each
Milliseconds = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
# By value, for a body is strict: the JSON text is what is given.
OutcomeName = Annotated[Outcome, Field(strict=False)]


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


def _paid(body: PaidBody | None) -> Paid | None:
    return Paid(micros(body.amount), body.currency) if body is not None else None


def _urls(body: ConfirmBody) -> dict[str, dict[str, Any]]:
    """Each URL is sealed by itself, under the content's place."""
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
            provider_cost=_paid(body.provider_cost),
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
        usage=body.usage, provider_cost=_paid(body.provider_cost), generation_time_ms=body.generation_time_ms
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
