"""What generations of the past days would cost by another price book. Nothing is written."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from api.commands.prices import shown
from api.database import Row
from domain.money import decimal_text
from domain.prices.book import PriceBook
from domain.prices.difference import EntryChange, difference
from domain.prices.events import PriceEntry, PricesPublished
from domain.prices.quote import Ask, quote, quote_or_none
from domain.prices.refusals import Unpriced

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
