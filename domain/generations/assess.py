"""May this generation run? One assessment of all that it needs, used by the check and by the decision alike."""

from typing import NamedTuple

from domain.generations.events import Held, ResourceCheck
from domain.generations.quote import QuotedAmounts
from domain.generations.refusals import NothingToCheck
from domain.generations.request import Request
from domain.kernel.work import Work
from domain.organisations.state import organisation_of
from domain.prices.book import book_of
from domain.prices.names import provider_name
from domain.prices.quote import Ask, Quote, count_of, quote, quote_or_none
from domain.resources.table import table

OK = "ok"


class Assessment(NamedTuple):
    """What it would take, what each resource says to it, and what would be held. `reason`: `ok`, or the refusal's."""

    quote: QuotedAmounts
    checks: tuple[ResourceCheck, ...]
    holds: tuple[Held, ...]
    reason: str

    @property
    def ok(self) -> bool:
        """Whether it may run."""
        return self.reason == OK


def assess(work: Work, request: Request) -> Assessment:
    """Assess a request against current states. Raises what `quote_of` raises, and TooManyGrantsAtOnce."""
    organisation, resources = organisation_of(work), table(work)
    quoted = quote_of(work, request)
    checks: list[ResourceCheck] = []
    holds: list[Held] = []
    for each in resources.all:
        if organisation.enforces(each.name):
            for need in each.needs(work, request, quoted):
                checked = each.check(work, need)
                checks += checked.checks
                holds += checked.holds
    failed = {check.reason for check in checks if not check.ok}
    reason = next((reason for reason in resources.reasons if reason in failed), OK) if failed else OK
    return Assessment(quoted, tuple(checks), tuple(holds), reason)


def quote_of(work: Work, request: Request) -> QuotedAmounts:
    """What the request would take as of now: priced by the price book, or estimated where nothing is priced.

    Raises Unpriced for a model (or count, or complexity) without a price, UnsizedHold where use is charged and nothing
    says how much to hold, UnknownTokenType, TokensNeeded where neither a price nor an estimate says how many tokens it
    takes, NothingToCheck where nothing applies.
    """
    count = count_of(request.options)
    price = _price(work, request)
    provider = price.named.provider if price else provider_name(book_of(work).at(work.now), request.provider)
    quoted = QuotedAmounts(count, price, provider, price.named.model if price else request.model)
    resources = table(work)
    for each in resources.all:
        each.quote(work, request, quoted)
    if price is None and not request.only_stores:
        paid = (each.unit_of(quoted.token_type) for each in resources.accounts)
        if not any(unit in quoted.amounts for unit in paid):
            raise NothingToCheck(operation=request.operation)
    return quoted


def _price(work: Work, request: Request) -> Quote | None:
    """The price; none where no model is named and no entry matches, for then the estimates apply."""
    ask = Ask(
        provider=request.provider,
        model=request.model,
        operation=request.operation,
        options=request.options,
        estimate=request.estimate,
        may_lower=request.may_lower,
    )
    book = book_of(work)
    return quote_or_none(book, ask, work.now) if request.model is None else quote(book, ask, work.now)
