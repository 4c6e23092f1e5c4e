"""Publish a new version of the price book."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, Field

from api.accounts.answers import answer
from api.http.caller import Call
from api.http.command import command
from api.http.fields import MAX_COUNT, Body, Count, Label, Model, Name, Options, Time, Units, Usd
from api.http.policy import May
from api.http.problems import Problem, invalid
from domain.money import decimal_text, micros
from domain.prices.events import PriceEntry
from domain.prices.publish import MAX_ENTRIES, PublishPrices
from infra.log.statements import MAX_EVENT_BYTES
from infra.partitions import PLATFORM

MAX_PRICES_BODY = 1_048_576  # 2,000 entries of half a KiB


class BulkStep(Body):
    """From `count` on, `percent_off` of the price."""

    count: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    percent_off: Annotated[int, Field(ge=0, le=100)]


class PriceBody(Body):
    """What one thing costs, in credits, tokens and USD; the most specific entry that matches decides.

    `options` must all be equal, `at_most` are upper bounds, `rates` credits per 1,000 units for settlement by usage,
    `complexity` percentages of the price by name. `expected_usage`: units of one use, which size the hold where use is
    charged and the request gives no estimate. `free`: it costs nothing on purpose.
    """

    provider: Model | None = None
    model: Model | None = None
    operation: Label | None = None
    options: Options = Field(default_factory=dict)
    at_most: Annotated[dict[Name, Count], Field(max_length=32)] = Field(default_factory=dict)
    credits: Count | None = None
    tokens: Count | None = None
    usd: Usd | None = None
    rates: Annotated[dict[Name, Count], Field(max_length=32)] = Field(default_factory=dict)
    complexity: Annotated[dict[Name, Annotated[int, Field(ge=1, le=1000)]], Field(max_length=32)] = Field(
        default_factory=dict
    )
    bulk: Annotated[list[BulkStep], Field(max_length=32)] = Field(default_factory=list)
    expected_usage: Units = Field(default_factory=dict)
    free: bool = False


class PublishBody(Body):
    """All entries of the new version. `effective_at`: at least 5 s ahead; none for as soon as possible."""

    entries: Annotated[list[PriceBody], Field(max_length=MAX_ENTRIES)]
    effective_at: Time | None = None


class PublishAnswer(BaseModel):
    """The new version."""

    version: int
    effective_at: datetime
    position: str


def entry_of(body: PriceBody) -> PriceEntry:
    """The domain's form of an entry."""
    return PriceEntry(
        provider=body.provider,
        model=body.model,
        operation=body.operation,
        options=body.options,
        at_most=body.at_most,
        credits=body.credits,
        tokens=body.tokens,
        usd_micros=micros(body.usd) if body.usd is not None else None,
        rates=body.rates,
        complexity=body.complexity,
        bulk=tuple((step.count, step.percent_off) for step in body.bulk),
        expected_usage=body.expected_usage,
        free=body.free,
    )


def fits(body: PublishBody) -> None:
    """Raises Problem (413) for entries whose event would be too large to be published in one Kafka record."""
    size = len(msgspec.json.encode([entry_of(entry) for entry in body.entries]))
    if size > MAX_EVENT_BYTES:
        detail = f"The {len(body.entries)} entries take {size} bytes as an event; the limit is {MAX_EVENT_BYTES}."
        raise Problem(413, "body_too_large", detail, field="entries", limit=MAX_EVENT_BYTES)


def shown(entry: PriceEntry) -> dict[str, Any]:
    """An entry as it is read, in the form in which it may be published again."""
    told = {
        "provider": entry.provider,
        "model": entry.model,
        "operation": entry.operation,
        "options": entry.options,
        "at_most": entry.at_most,
        "credits": entry.credits,
        "tokens": entry.tokens,
        "usd": decimal_text(entry.usd_micros) if entry.usd_micros is not None else None,
        "rates": entry.rates,
        "complexity": entry.complexity,
        "bulk": [{"count": count, "percent_off": off} for count, off in entry.bulk],
        "expected_usage": entry.expected_usage,
        "free": entry.free or None,
    }
    return {name: value for name, value in told.items() if value not in (None, {}, [])}


def _expected(if_match: str | None) -> int | None:
    """The version that the caller has read, from `If-Match: "7"`."""
    if if_match is None or if_match.strip() == "*":
        return None
    version = if_match.strip().removeprefix("W/").strip('"')
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise invalid("If-Match", "must be the ETag of an earlier answer")
    return int(version)


@command(
    "PUT /api/v1/prices",
    May.SET_PRICES,
    PublishAnswer,
    answer=answer,
    max_bytes=MAX_PRICES_BODY,
    check=lambda _call, body: fits(body),
    org=PLATFORM,
)
def publish_prices(call: Call, body: PublishBody, _sealed: str | None) -> Any:
    """Publish a new version of the price book."""
    return PublishPrices(
        entries=tuple(entry_of(entry) for entry in body.entries),
        effective_at=body.effective_at,
        expected=_expected(call.if_match),
    )
