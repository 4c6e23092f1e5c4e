"""What a new price book would change, before it is published, and the versions that there were."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

from api.commands.prices import MAX_PRICES_BODY, PublishBody, entry_of, fits
from api.current import read_current
from api.database import Row
from api.http.caller import Call
from api.http.endpoint import MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.price_preview import USAGE, preview
from api.problems import refused
from api.reading import Json, cursors, seen
from api.schemas import page_of
from domain.kernel.memory import Memory
from domain.prices.book import STREAM, PriceBook
from domain.prices.publish import PublishPrices
from domain.registry import SCRIP
from infra.partitions import PLATFORM, partition_of
from infra.position import format_position
from infra.security.principal import Role
from infra.writer.submission import Refused

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
async def list_price_versions(
    call: Call, limit: Limit = 50, cursor: CursorText = None, min_position: MinPosition = None
) -> Json:
    """The versions of the price book, newest first."""
    await seen(replace(call, org=PLATFORM), min_position)
    pages = cursors(call, "price-versions")
    before = pages.decode(cursor, int)[0] if cursor else LAST
    partition = partition_of(PLATFORM, call.services.ledger.writer.partitions)
    rows = await call.services.rows_of_all(_VERSIONS, {"partition": partition, "before": before, "limit": limit + 1})
    return Json(pages.page(rows, limit, lambda row: [row["version"]], _shown))


@endpoint("POST /api/v1/prices/preview", May.READ_PLATFORM, PricesPreview, keyed=False, max_bytes=MAX_PRICES_BODY)
async def preview_prices(call: Call, body: PublishBody) -> dict[str, Any]:
    """What a new price book would change, without publishing it.

    Over the whole platform for its admins; an auditor sees what their own organisation generated.
    """
    fits(body)
    current = await read_current(call.services, PLATFORM, STREAM)
    book: PriceBook = current.states[STREAM]
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
    told = await call.services.threads.run(preview, book.at(new.effective_at), new, rows)
    return {"from": since, "to": current.time, **told}


def _shown(row: Row) -> dict[str, Any]:
    return row | {"position": format_position(row["position"])}
