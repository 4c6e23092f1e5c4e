"""The kinds of values in bodies and queries, each as narrow as the narrowest store in the chain."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from fastapi import Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    create_model,
)

from api.http.problems import Problem, invalid
from domain.credits.events import Paid
from domain.ids import ADDRESS, ID, NAME, account_address, no_dots
from domain.money import micros
from domain.prices.quote import check_numbers
from domain.resources.table import RESOURCES
from domain.settings.change import Given
from domain.settings.setting import Owner, Setting, Values
from domain.text import clean, readable_name
from infra import strict_json as shared
from infra.strict_json import MAX_DEPTH, UnacceptableJson

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


class Money(Body):
    """A decimal as text, and its currency."""

    amount: Usd
    currency: Currency = "USD"

    @property
    def paid(self) -> Paid:
        """The same in integer micro-units."""
        return Paid(micros(self.amount), self.currency)


class NotedBody(Body):
    """A body with the caller's own notes."""

    reason: Text | None = None
    metadata: Metadata | None = None


MAX_PARAMETERS = 50
PLUS = "In a query `+` means a space; write `%2B` for a `+`."
_SHOWN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^\x21-\x7e]")
_NONE: frozenset[str] = frozenset()


class Known:
    """The names that a call reads from its query; `blank` are those that may be empty."""

    def __init__(self, names: frozenset[str] = _NONE, blank: frozenset[str] = _NONE) -> None:
        self.names, self.blank = names, blank


NOTHING = Known()


def read_query(raw: bytes) -> list[tuple[str, str]]:
    """Names and values. Raises Problem (422) for what is not percent-encoded UTF-8, or has control characters."""
    if _BAD_ESCAPE.search(raw):
        raise _unreadable("must be percent-encoded")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise _unreadable("must be UTF-8, percent-encoded") from None
    except ValueError:
        raise _unreadable(f"must have at most {MAX_PARAMETERS} parameters", limit=MAX_PARAMETERS) from None
    for name, value in pairs:
        if not clean(value):
            raise _wrong(name, "must not contain control characters")
    return pairs


def check_query(pairs: list[tuple[str, str]], known: Known) -> None:
    """Raises Problem (422) for an unknown name, with the nearest that is known; for one given twice, or empty."""
    seen: set[str] = set()
    for name, value in pairs:
        if name not in known.names:
            raise _unknown(name, known)
        if name in seen:
            raise _wrong(name, "must not be given twice")
        if not value and name not in known.blank:
            raise _wrong(name, "must not be empty: leave it out")
        seen.add(name)


def _unknown(name: str, known: Known) -> Problem:
    near = get_close_matches(name.lower(), known.names, 1, 0.5)
    what = f"The query parameter {name}" if _SHOWN.fullmatch(name) else "A query parameter"
    hint = f" Did you mean {near[0]}?" if near else ""
    names = ", ".join(sorted(known.names))
    advice = hint or (f" It takes: {names}." if names else " It takes none.")
    detail = f"{what} is unknown to this call.{advice}"
    return Problem(422, "unknown_parameter", detail, field=_shown(name), nearest=near[0] if near else None)


def _wrong(name: str, reason: str) -> Problem:
    shown = _shown(name)
    return invalid(shown, reason) if shown else _unreadable(reason)


def _shown(name: str) -> str | None:
    return name if _SHOWN.fullmatch(name) else None


def _unreadable(reason: str, **facts: Any) -> Problem:
    return Problem(422, "invalid_value", f"The query {reason}.", **facts)


AnyModel = TypeVar("AnyModel", bound=BaseModel)


def value_of(setting: Setting) -> Any:
    """The type of a setting's value in a body: a number in its range, or null for none."""
    return Annotated[int | None, Field(ge=setting.least, le=setting.most, description=setting.about)]


def with_settings(on: Owner) -> Callable[[type[AnyModel]], type[AnyModel]]:
    """Add a field for each setting of such owners to a body or an answer."""

    def with_fields(model: type[AnyModel]) -> type[AnyModel]:
        fields: dict[str, Any] = {name: (value_of(each), None) for name, each in RESOURCES.settings[on].items()}
        if not fields:
            return model
        more = create_model(model.__name__, __base__=model, __module__=model.__module__, **fields)
        more.__doc__ = model.__doc__
        return more

    return with_fields


def given_settings(body: Body, on: Owner) -> Given:
    """The settings that a body names; null removes one."""
    return {name: getattr(body, name) for name in RESOURCES.settings[on] if name in body.model_fields_set}


def shown_settings(values: Values, on: Owner) -> dict[str, int | None]:
    """All settings that such owners may have, with the values of one of them."""
    return {name: values.get(name) for name in RESOURCES.settings[on]}


def strict_json(raw: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Read a body. Raises Problem (400)."""
    try:
        return shared.strict_json(raw, max_depth)
    except UnacceptableJson as error:
        raise Problem(400, error.code, str(error), field=error.field, limit=error.limit) from None
