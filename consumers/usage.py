"""What workers may write to `scrip.usage`: the data of each CloudEvents type, checked as strictly as over HTTP."""

from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict

from domain.ids import ADDRESS, DOTS, ID, NAME, account_address, no_dots
from domain.prices.quote import check_numbers
from domain.text import readable_name
from infra.kafka import topics
from infra.kafka.channels import Channel

STARTED = "scrip.usage.generation.started"
COMPLETED = "scrip.usage.generation.completed"
METERED = "scrip.usage.metered"

MAX_AMOUNT = 10**12
MAX_METADATA_BYTES = 4_096


def _bounded(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        raise ValueError(f"more than {MAX_METADATA_BYTES} bytes")
    return metadata


def _numbers(options: dict[str, int | bool | str]) -> dict[str, int | bool | str]:
    check_numbers(options)
    return options


# What the validators beside them check, for the document.
_NO_DOTS = Field(json_schema_extra={"not": {"enum": [*sorted(DOTS)]}})
_FROM_1: JsonDict = {"type": "integer", "minimum": 1}
_NUMBERS = Field(max_length=32, json_schema_extra={"properties": {"duration": _FROM_1, "count": _FROM_1}})

Id = Annotated[
    str,
    StringConstraints(pattern=f"^{ID.pattern}$"),
    AfterValidator(no_dots),
    Field(description="an id"),
    _NO_DOTS,
]
Address = Annotated[
    str,
    StringConstraints(pattern=f"^{ADDRESS.pattern}$"),
    AfterValidator(account_address),
    Field(description="an account, owner_type:owner_id:unit", examples=["user:u_42:credits"]),
]
Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT)]
Count = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
Usd = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(readable_name)]
Model = Annotated[Label, AfterValidator(no_dots), _NO_DOTS]
Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$"), AfterValidator(no_dots), _NO_DOTS]
Text = Annotated[str, StringConstraints(max_length=4_096)]
OptionValue = Annotated[int, Field(ge=-(2**53) + 1, le=2**53 - 1)] | bool | Label  # what JavaScript holds exactly
Metadata = Annotated[dict[str, Any], AfterValidator(_bounded)]


class _Data(BaseModel):
    """No unknown fields, no conversions: `"5"`, `5.0` and `true` are not 5."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Money(_Data):
    """An amount outside Scrip, as a decimal string with at most 6 places."""

    amount: Usd
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "USD"


class Actual(_Data):
    """What the work really cost, where it was not what was held. 0 credits: nothing is charged."""

    credits: Count | None = None
    tokens: Count | None = None
    usd: Usd | None = None


class Content(_Data):
    """A generated object."""

    id: Id
    url: Annotated[str, StringConstraints(max_length=2_048)] | None = None
    bytes: Count | None = None


class Started(_Data):
    """A worker has begun."""

    generation_id: Id


class Completed(_Data):
    """A worker is done: with `success` the hold is captured, else it is released.

    `generation_id` may be a reservation's id. What describes the outcome beside the credits is kept sealed. `usage` of
    a failure is what was used until then; the organisation's settlement policy says how much of it is charged.
    """

    generation_id: Id
    success: bool
    usage: Annotated[dict[Name, Count], Field(max_length=32)] | None = None
    actual: Actual | None = None
    contents: Annotated[list[Content], Field(max_length=100)] | None = None
    content: Content | None = None
    succeeded: Count | None = None
    provider_cost: Money | None = None
    generation_time_ms: Count | None = None
    final: bool = True
    outcome: Literal["provider_error", "input_blocked", "output_blocked", "timed_out", "cancelled", "other"] | None = (
        None
    )
    error_message: Text | None = None
    metadata: Metadata | None = None

    @property
    def made(self) -> list[Content]:
        """The contents, however many were named."""
        return [*(self.contents or []), *([self.content] if self.content else [])]

    @model_validator(mode="after")
    def _one_of_confirm_and_fail(self) -> Self:
        if self.success:
            if self.outcome is not None or self.error_message is not None:
                raise ValueError("outcome and error_message belong to a failure, but success is true")
            if not self.final and self.actual is not None and self.actual.credits == 0:
                raise ValueError("a part (final false) of 0 credits charges nothing")
        elif any(given is not None for given in (self.actual, self.contents, self.content, self.succeeded)):
            raise ValueError("actual, contents and succeeded belong to a success, but success is false")
        elif not self.final:
            raise ValueError("final false belongs to a success, but success is false")
        return self


class Metered(_Data):
    """Use without a hold: charged at once to `address`, or to the credits of `user_id`.

    Either `amount` in credits, or `operation` and `model` with `options`, which the price book prices.
    """

    address: Address | None = None
    user_id: Id | None = None
    amount: Amount | None = None
    operation: Label | None = None
    provider: Model | None = None
    model: Model | None = None
    options: Annotated[dict[Name, OptionValue], _NUMBERS, AfterValidator(_numbers)] | None = None
    usage: Annotated[dict[Name, Count], Field(max_length=32)] | None = None
    reason: Text | None = None
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _who_and_how_much(self) -> Self:
        if (self.address is None) == (self.user_id is None):
            raise ValueError("exactly one of address and user_id is needed")
        priced = self.operation is not None or self.model is not None
        if priced == (self.amount is not None):
            raise ValueError("exactly one of amount and a priced operation or model is needed")
        if not priced and (self.provider is not None or self.options is not None or self.usage is not None):
            raise ValueError("provider, options and usage need an operation or a model to be priced by")
        return self

    @property
    def account(self) -> str:
        return self.address or f"user:{self.user_id}:credits"


UsageData = Started | Completed | Metered

USAGE_TYPES: dict[str, type[Started] | type[Completed] | type[Metered]] = {
    STARTED: Started,
    COMPLETED: Completed,
    METERED: Metered,
}

USAGE = Channel(
    title="usage",
    topic=topics.USAGE,
    description="What workers report, in structured or binary mode.",
    messages=USAGE_TYPES,
    group=topics.INTAKE,
)
