"""What would run now in place of what was refused: cheaper entries of the price book."""

from dataclasses import replace
from typing import Any

from domain.generations.assess import assess
from domain.generations.assessment import Assessment
from domain.generations.request import Request
from domain.prices.book import book_of
from domain.prices.events import PriceEntry
from domain.refusal import Refusal
from domain.resources.table import table

MAX_SHOWN = 5


def alternatives(refused: Assessment) -> list[dict[str, Any]]:
    """Priced options that would pass, the nearest to what was asked first; none where no price would help."""
    work, request, resources = refused.work, refused.request, table(refused.work)
    if not all(check.ok or resources.by_name[check.resource].eased_by_price(check) for check in refused.checks):
        return []
    version = book_of(work).at(work.now)
    found = []
    for entry in version.entries if version else ():
        if not _alike(entry, request):
            continue
        options = {name: value for name, value in request.options.items() if name == "count"} | entry.options
        estimate = request.estimate if set(request.estimate or ()) <= set(entry.rates) else None
        other = replace(request, provider=entry.provider, model=entry.model, options=options, estimate=estimate or None)
        try:
            assessment = assess(work, other)
        except Refusal:
            continue
        if assessment.ok:
            quote = assessment.quoted()
            same_model = entry.model == request.model
            found.append((not same_model, -quote.credits, -quote.tokens, -quote.usd, _shown(entry, assessment)))
    found.sort(key=lambda row: row[:4])
    return [row[4] for row in found[:MAX_SHOWN]]


def _alike(entry: PriceEntry, request: Request) -> bool:
    """The same operation, for another model or other options."""
    if (entry.operation or "").casefold() != request.operation:
        return False
    return entry.model is not None or request.model is None


def _shown(entry: PriceEntry, assessment: Assessment) -> dict[str, Any]:
    quote = assessment.quoted()
    return {
        "label": entry.label,
        "provider": entry.provider,
        "model": entry.model,
        "options": entry.options,
        "credits": quote.credits,
        "tokens": quote.tokens,
        "usd": quote.usd,
    }
