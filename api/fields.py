"""The kinds of values that requests are made of, each as narrow as the narrowest store in the chain."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from domain.ids import ADDRESS, ID, NAME, account_address, no_dots
from domain.prices.quote import check_numbers
from domain.text import readable_name

MAX_BODY = 65_536  # bytes; a call whose items need more has its own limit, which its description names
MAX_AMOUNT = 10**12
MAX_METADATA_BYTES = 4_096
MAX_TEXT = 2_000
MOST_EXACT = 2**53 - 1
MAX_COUNT = 100_000  # how many of a thing one price may be multiplied by

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


class Body(BaseModel):
    """A request body: no unknown fields and no conversions, so `"5"`, `5.0` and `true` are not 5."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=False)


def _bounded(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        raise ValueError(f"must not be more than {MAX_METADATA_BYTES} bytes of JSON")
    return metadata


def _rfc3339(value: object) -> object:
    if not (isinstance(value, str) and _RFC3339.fullmatch(value)):
        raise ValueError("must be an RFC 3339 time with a zone, for example 2026-01-31T12:00:00Z")
    return value


def _plus(value: object) -> object:
    """In a query string an unescaped `+` arrives as a space."""
    return value[:-6] + "+" + value[-5:] if isinstance(value, str) and value[-6:-5] == " " else value


def _day_or_time(value: object) -> object:
    """A day stays a day, because only the organisation's settings say when it begins."""
    if isinstance(value, str) and _DAY.fullmatch(value):
        day = date.fromisoformat(value)
        if not _EARLIEST.date() <= day < _LATEST.date():
            raise ValueError("must be between the years 1970 and 2999")
        return day
    try:
        moment = datetime.fromisoformat(str(_rfc3339(value)).upper())
    except ValueError:
        raise ValueError("must be an RFC 3339 time with a zone, or a day such as 2026-01-31") from None
    return _in_range(moment)


def _in_range(time: datetime) -> datetime:
    if not _EARLIEST <= time < _LATEST:
        raise ValueError("must be between the years 1970 and 2999")
    return time.astimezone(UTC)


def _counted(options: dict[str, int | bool | str]) -> dict[str, int | bool | str]:
    count = options.get("count")
    if isinstance(count, int) and count > MAX_COUNT:
        raise ValueError(f"must not have a count above {MAX_COUNT}")
    check_numbers(options)
    return options


Id = Annotated[
    str,
    StringConstraints(pattern=f"^{ID.pattern}$"),
    AfterValidator(no_dots),
    Field(description="An id of the integrator's or of Scrip's making; `.` and `..` are none.", examples=["job-42"]),
]
UserId = Annotated[
    str | None,
    Query(pattern=f"^{ID.pattern}$", description="Another user's, for those who may."),
    AfterValidator(lambda text: text if text is None else no_dots(text)),
]
AddressText = Annotated[
    str,
    StringConstraints(pattern=f"^{ADDRESS.pattern}$"),
    AfterValidator(account_address),
    Field(description="An account: owner_type:owner_id:unit.", examples=["user:u_42:credits"]),
]
Amount = Annotated[int, Field(ge=1, le=MAX_AMOUNT, description="Whole credits, 1 to 10^12.", examples=[1100])]
Count = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
Ttl = Annotated[int, Field(ge=1, le=604_800, description="Seconds until an unsettled hold returns, at most 7 days.")]
Text = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_TEXT), Field(description="Free text; kept encrypted.")
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(readable_name)]
Model = Annotated[Label, AfterValidator(no_dots)]  # of a model or its provider: a name that may stand in a path
Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$"), AfterValidator(no_dots)]
Usd = Annotated[
    str,
    StringConstraints(pattern=r"^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$"),
    Field(description="A decimal with at most 6 places, as text.", examples=["0.04"]),
]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(examples=["USD"])]
# What the pattern lets through is read without strictness: behind a validator of ours, text counts as a Python value.
_Moment = Annotated[AwareDatetime, Field(strict=False)]
Time = Annotated[_Moment, BeforeValidator(_rfc3339), AfterValidator(_in_range)]
QueryTime = Annotated[_Moment, BeforeValidator(_rfc3339), BeforeValidator(_plus), AfterValidator(_in_range)]
# What reports and lists are asked for.
QueryDay = Annotated[
    datetime | date,
    BeforeValidator(_day_or_time),
    BeforeValidator(_plus),
    Field(
        description="An RFC 3339 time with a zone, or a day such as 2026-01-31: its first moment in the organisation's"
        " time zone.",
        examples=["2026-01-31"],
    ),
]
Metadata = Annotated[
    dict[str, Any],
    AfterValidator(_bounded),
    Field(description=f"Any JSON object of at most {MAX_METADATA_BYTES} bytes; kept encrypted."),
]
Units = Annotated[
    dict[Name, Count],
    Field(max_length=32, description="Measured units by name.", examples=[{"input_tokens": 900, "output_tokens": 60}]),
]
# No number in a request is larger than what JavaScript holds exactly (api/edge.py).
Whole = Annotated[int, Field(ge=-MOST_EXACT, le=MOST_EXACT)]
OptionValue = Whole | bool | Label
Options = Annotated[
    dict[Name, OptionValue],
    Field(max_length=32, description="An open map of scalars.", examples=[{"resolution": "1080P", "duration": 6}]),
    AfterValidator(_counted),
]
