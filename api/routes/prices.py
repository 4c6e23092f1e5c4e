"""The price book, and what something would cost."""

from typing import Annotated, Any, Self

from fastapi import Query
from pydantic import model_validator

from api.commands.prices import shown
from api.current import read_current
from api.fields import Body, Label, Model, Options, Units
from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import May
from api.problems import not_found, refused
from api.reading import Json
from api.schemas import Prices, Quoted
from api.services import Services
from domain.money import decimal_text
from domain.prices.book import STREAM, PriceBook
from domain.prices.quote import Ask, quote
from domain.refusal import Refusal
from infra.partitions import PLATFORM
from infra.security.principal import Role
from infra.writer.submission import Current, Refused


class QuoteBody(Body):
    """What is to be priced. `estimate`: units that it may use, which size the hold of what is priced by use."""

    provider: Model | None = None
    model: Model | None = None
    operation: Label | None = None
    options: Options | None = None
    estimate: Units | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.model is None and self.operation is None:
            raise ValueError("needs a model or an operation to be priced")
        return self


async def price_book(services: Services) -> tuple[PriceBook, Current]:
    """The price book now, and as of when. Raises Problem (503)."""
    current = await read_current(services, PLATFORM, STREAM)
    book: PriceBook = current.states[STREAM]
    return book, current


@endpoint("GET /api/v1/prices", May.READ_PRICES, Prices)
async def read_prices(
    call: Call,
    version: Annotated[int | None, Query(ge=1, le=10**9, description="One version; none for that in force.")] = None,
) -> Json:
    """The price book."""
    book, now = await price_book(call.services)
    found = book.at(now.time) if version is None else book.version(version)
    if version is not None and found is None:
        raise not_found("price version", str(version))
    upcoming = [
        {"version": each.version, "effective_at": each.effective_at}
        for each in book.versions
        if each.effective_at > now.time
    ]
    told = {
        "version": found.version if found else 0,
        "effective_at": found.effective_at if found else None,
        "entries": [shown(entry) for entry in found.entries] if found else [],
        "latest": book.latest,
        "upcoming": upcoming,
    }
    return Json(told, headers={"ETag": f'"{book.latest}"'})


@endpoint("POST /api/v1/quotes", May.READ_PRICES, Quoted, keyed=False)
async def quote_price(call: Call, body: QuoteBody) -> dict[str, Any]:
    """A price without charging."""
    book, now = await price_book(call.services)
    ask = Ask(
        provider=body.provider,
        model=body.model,
        operation=body.operation,
        options=body.options or {},
        estimate=body.estimate,
        may_lower=call.principal.role is not Role.USER,
    )
    try:
        price = quote(book, ask, now.time)
    except Refusal as refusal:
        call.services.metrics.refused("quote_price", refusal.code)
        raise refused(Refused.of(refusal)) from None
    return {
        "credits": price.credits,
        "tokens": price.tokens,
        "usd": decimal_text(price.usd_micros) if price.usd_micros is not None else None,
        "currency": "USD" if price.usd_micros is not None else None,
        "item": price.item,
        "price_version": price.price_version,
    }
