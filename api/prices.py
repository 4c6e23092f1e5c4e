"""The price book: publish a version, read it, quotes, and what a new version would change."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple, Self

import msgspec
from fastapi import Query
from pydantic import BaseModel, Field, model_validator

from api.http.caller import Call, expected_version
from api.http.command import command
from api.http.database import Row
from api.http.endpoint import endpoint, shaped
from api.http.fields import MAX_COUNT, Body, Count, Label, Model, Name, Options, Time, Units, Usd
from api.http.lists import Json, Page, page_of, positioned
from api.http.policy import May
from api.http.problems import Problem, not_found, refused
from api.http.services import Services
from domain.kernel.memory import Memory
from domain.money import decimal_text, micros
from domain.prices.book import STREAM, PriceBook
from domain.prices.events import PriceEntry, PricesPublished
from domain.prices.publish import MAX_ENTRIES, EntryChange, PublishPrices, difference
from domain.prices.quote import Ask, quote, quote_or_none
from domain.prices.refusals import Unpriced
from domain.refusal import Refusal
from domain.registry import SCRIP
from infra.log.statements import MAX_EVENT_BYTES
from infra.partitions import PLATFORM
from infra.security.principal import Role
from infra.writer.submission import Current, Refused

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
    usd = decimal_text(entry.usd_micros) if entry.usd_micros is not None else None
    bulk = [{"count": count, "percent_off": off} for count, off in entry.bulk]
    answer = shaped(PriceBody, entry, usd=usd, bulk=bulk, free=entry.free or None)
    return {name: value for name, value in answer.items() if value not in (None, {}, [])}


@command(
    "PUT /api/v1/prices",
    May.SET_PRICES,
    PublishAnswer,
    event=PricesPublished,
    max_bytes=MAX_PRICES_BODY,
    check=lambda _call, body: fits(body),
    org=PLATFORM,
)
def publish_prices(call: Call, body: PublishBody, _sealed: str | None) -> Any:
    """Publish a new version of the price book."""
    return PublishPrices(
        entries=tuple(entry_of(entry) for entry in body.entries),
        effective_at=body.effective_at,
        expected=expected_version(call),
    )


class Quoted(BaseModel):
    """A price without charging. `usd` is a decimal as text."""

    credits: int | None = None
    tokens: int | None = None
    usd: str | None = None
    currency: str | None = None
    item: str
    price_version: int


class Prices(BaseModel):
    """The price book: the version in force (or the one asked for) and what is to come."""

    version: int
    effective_at: datetime | None = None
    entries: list[dict[str, Any]]
    latest: int
    upcoming: list[dict[str, Any]]


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
    current = await services.current(PLATFORM, STREAM)
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
    answer = {
        "version": found.version if found else 0,
        "effective_at": found.effective_at if found else None,
        "entries": [shown(entry) for entry in found.entries] if found else [],
        "latest": book.latest,
        "upcoming": upcoming,
    }
    return Json(answer, headers={"ETag": f'"{book.latest}"'})


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


MAX_KINDS = 1_000  # of use that are priced in one preview

# What succeeded is what is paid for. Each organisation's days are read by their index.
USAGE = f"""
    select g.provider, g.model, g.operation, g.options, g."count", g.succeeded, count(*)::bigint as generations,
        sum(div(g.quoted_tokens::numeric * g.succeeded, g."count")) as tokens,
        sum(g.charged_credits) as charged_credits, sum(g.charged_tokens) as charged_tokens,
        sum(g.charged_usd) as charged_usd
    from read.organisations o
    cross join lateral (
        select * from read.generations
        where org = o.org and created_at >= %(from)s and created_at < %(to)s
          and status in ('completed', 'settled_late') and succeeded > 0
    ) g
    where %(own)s::text is null or o.org = %(own)s
    group by 1, 2, 3, 4, 5, 6
    order by generations desc, 1, 2, 3, 4, 5, 6 limit {MAX_KINDS + 1}"""


class Cost(NamedTuple):
    """What something costs: whole credits and tokens, micro-USD."""

    credits: int = 0
    tokens: int = 0
    usd: int = 0

    def plus(self, other: "Cost") -> "Cost":
        """The sum."""
        return Cost(self.credits + other.credits, self.tokens + other.tokens, self.usd + other.usd)

    def shown(self) -> dict[str, Any]:
        """As callers read it."""
        return {"credits": self.credits, "tokens": self.tokens, "usd": decimal_text(self.usd), "currency": "USD"}


NOTHING = Cost()


class Compared(NamedTuple):
    """One kind of use by both books; none where a book has no price for it."""

    row: Row
    old: Cost | None
    new: Cost | None
    metered: bool


def preview(old: PricesPublished | None, new: PricesPublished, rows: Sequence[Row]) -> dict[str, Any]:
    """Both books over the same use; `rows` are those of `USAGE`.

    What a book has no price for costs nothing in its total and is counted in `unpriced`: such a request is refused.
    """
    compared = [_compared(old, new, row) for row in rows[:MAX_KINDS]]
    before = old.entries if old else ()
    return {
        "against": old.version if old else 0,
        "version": new.version,
        "effective_at": new.effective_at,
        "totals": {
            "old": _sum(each.old for each in compared).shown(),
            "new": _sum(each.new for each in compared).shown(),
            "charged": _sum(_charged(each.row) for each in compared).shown(),
        },
        "generations": sum(each.row["generations"] for each in compared),
        "unpriced": sum(each.row["generations"] for each in compared if each.new is None),
        "difference": [_change(each) for each in difference(before, new.entries)],
        "usage": [_use(each) for each in compared],
        "truncated": len(rows) > MAX_KINDS,
    }


def _compared(old: PricesPublished | None, new: PricesPublished, row: Row) -> Compared:
    ask = Ask(provider=row["provider"], model=row["model"], operation=row["operation"], options=row["options"])
    books = [version for version in (old, new) if version]
    metered = any(entry.rates for book in books for entry in book.entries if _about(entry, row))
    return Compared(row, _cost(old, ask, row) if old else None, _cost(new, ask, row), metered)


def _cost(version: PricesPublished, ask: Ask, row: Row) -> Cost | None:
    """All generations of the kind; none where they have no price. What no entry prices in credits or tokens takes the
    tokens that it took: those are estimated, or declared by the caller, whatever the book says.
    """
    book, at = PriceBook((version,)), version.effective_at
    try:
        price = quote_or_none(book, ask, at) if ask.model is None else quote(book, ask, at)
    except Unpriced:
        return None
    if price is None:
        return Cost(tokens=row["tokens"])
    tokens = row["tokens"] if price.credits is None and price.tokens is None else _of_all(price.tokens, row)
    return Cost(_of_all(price.credits, row), tokens, _of_all(price.usd_micros, row))


def _of_all(price: int | None, row: Row) -> int:
    """A price is of all that one generation asked for; it pays for those that succeeded."""
    return int((price or 0) * row["succeeded"] // row["count"] * row["generations"])


def _about(entry: PriceEntry, row: Row) -> bool:
    return (entry.model or "").casefold() == (row["model"] or "").casefold()


def _charged(row: Row) -> Cost:
    return Cost(row["charged_credits"], row["charged_tokens"], row["charged_usd"])


def _sum(costs: Iterable[Cost | None]) -> Cost:
    total = NOTHING
    for cost in costs:
        total = total.plus(cost or NOTHING)
    return total


def _change(changed: EntryChange) -> dict[str, Any]:
    entry = changed.new or changed.old
    return {
        "change": changed.change,
        "item": entry.label if entry else "",
        "old": shown(changed.old) if changed.old else None,
        "new": shown(changed.new) if changed.new else None,
    }


def _use(each: Compared) -> dict[str, Any]:
    row = each.row
    return {
        **{name: row[name] for name in ("provider", "model", "operation", "options", "generations", "succeeded")},
        "old": each.old.shown() if each.old else None,
        "new": each.new.shown() if each.new else None,
        "charged": _charged(row).shown(),
        "metered": each.metered,
    }


WINDOW_DAYS = 7
LAST = 2**31 - 1
_VERSIONS = """
    select p.version, p.effective_at, p.published_at, jsonb_array_length(p.entries) as entries, e.actor, p.position,
        p.version = (select max(version) from read.prices where effective_at <= scrip_now()) as in_force
    from read.prices p left join events e on e.partition = %(partition)s and e.position = p.position
    where p.version < %(before)s order by p.version desc limit %(limit)s"""


class PricesPreview(BaseModel):
    """`totals`: what the generations of the last 7 days cost by the book in force then (`old`) and by the `new` one,
    and what was `charged`. `usage`: the same by what was generated, most often first; null where a book has no price.

    `unpriced` generations would be refused. `metered`: settled by measured use, of which only fixed prices are told.
    `truncated`: there were more than 1,000 kinds of use, and the totals are of those that occurred most.
    """

    from_: datetime = Field(alias="from")
    to: datetime
    against: int
    version: int
    effective_at: datetime
    totals: dict[str, dict[str, Any]]
    generations: int
    unpriced: int
    difference: list[dict[str, Any]]
    usage: list[dict[str, Any]]
    truncated: bool


class VersionRow(BaseModel):
    """A version of the price book; `actor` published it."""

    version: int
    effective_at: datetime
    published_at: datetime
    entries: int
    actor: str | None = None
    in_force: bool
    position: str


@endpoint("GET /api/v1/prices/versions", May.READ_PLATFORM, page_of(VersionRow))
async def list_price_versions(call: Call, page: Page) -> dict[str, Any]:
    """The versions of the price book, newest first."""
    platform = replace(call, org=PLATFORM)
    await page.wait(platform)
    pages = page.cursors(call, "price-versions")
    (before,) = pages.after(LAST)
    wanted = {"partition": platform.partition, "before": before, "limit": pages.more}
    rows = await call.services.rows_of_all(_VERSIONS, wanted)
    return pages.page(rows, ["version"], positioned)


@endpoint("POST /api/v1/prices/preview", May.READ_PLATFORM, PricesPreview, keyed=False, max_bytes=MAX_PRICES_BODY)
async def preview_prices(call: Call, body: PublishBody) -> dict[str, Any]:
    """What a new price book would change, without publishing it.

    Over the whole platform for its admins; an auditor sees what their own organisation generated.
    """
    fits(body)
    book, current = await price_book(call.services)
    command = PublishPrices(entries=tuple(entry_of(entry) for entry in body.entries), effective_at=body.effective_at)
    ledger = Memory(SCRIP, PLATFORM)
    ledger.put(PLATFORM, STREAM, book)
    decided = ledger.run(command, PLATFORM, current.time)
    if decided.refusal is not None:
        raise refused(Refused.of(decided.refusal))
    ((_, new),) = decided.events
    since = current.time - timedelta(days=WINDOW_DAYS)
    own = None if call.principal.role is Role.ADMIN else call.org
    rows = await call.services.rows_of_all(USAGE, {"from": since, "to": current.time, "own": own})
    answer = await call.services.threads.run(preview, book.at(new.effective_at), new, rows)
    return {"from": since, "to": current.time, **answer}
