"""The answer that callers get from an assessment: the body of the check and of a refusal (contract, S0)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from domain.generations.assess import assess
from domain.generations.assessment import OK, Assessment
from domain.generations.events import ResourceCheck
from domain.generations.request import Request
from domain.prices.book import book_of
from domain.prices.events import PriceEntry
from domain.refusal import Refusal
from domain.resources.table import Resources, table
from domain.wording import amount_text

MOST_ALTERNATIVES = 5


def told(assessment: Assessment) -> dict[str, Any]:
    """The whole answer, the numbers beside their form for people; `usd` is micro-USD."""
    resources = table(assessment.work)
    facts: dict[str, Any] = {}
    for each in resources:
        facts |= each.facts(assessment, [check for check in assessment.checks if check.resource == each.name])
    return {
        "can_proceed": assessment.ok,
        "reason": assessment.reason,
        **facts,
        "quote": assessment.quoted()._asdict(),
        "checks": [checked(resources, check) for check in assessment.checks],
        "alternatives": [] if assessment.ok else alternatives(assessment),
    }


def checked(resources: Resources, check: ResourceCheck) -> dict[str, Any]:
    """One resource's answer."""
    what, _, subject = check.subject.partition("/")
    deficit = 0 if check.ok else max(1, check.needed - (check.available or 0))
    numbers = {"needed": check.needed, "available": check.available, "limit": check.limit, "deficit": deficit}
    return {
        "resource": check.resource,
        "subject": subject or what,
        "ok": check.ok,
        "reason": OK if check.ok else check.reason,
        **numbers,
        "message": OK if check.ok else resources.shown(check.resource).sentence(check),
        "formatted": {name: _formatted(what, name, amount) for name, amount in numbers.items()},
    }


def _formatted(what: str, name: str, amount: int | None) -> str:
    if amount is None:
        return "none" if name == "limit" else "unlimited"
    return amount_text(what, amount)


def sentences(resources: Resources, checks: Sequence[ResourceCheck], reason: str) -> str:
    """All that is short, the reason first."""
    failed = sorted((check for check in checks if not check.ok), key=lambda check: check.reason != reason)
    return " ".join(resources.shown(check.resource).sentence(check) for check in failed)


def alternatives(refused: Assessment) -> list[dict[str, Any]]:
    """Priced options that would pass in its place, the nearest to what was asked first; none where no price helps."""
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
    return [row[4] for row in found[:MOST_ALTERNATIVES]]


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
