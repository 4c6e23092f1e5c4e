"""May this generation run? One assessment of all that it needs, used by the check and by the decision alike."""

from domain.generations.assessment import Assessment
from domain.generations.refusals import NothingToCheck
from domain.generations.request import Request
from domain.kernel.work import Work
from domain.organisations.state import organisation_of
from domain.prices.book import book_of
from domain.prices.names import provider_name
from domain.prices.quote import Ask, count_of, quote, quote_or_none
from domain.resources.table import table


def assess(work: Work, request: Request) -> Assessment:
    """Assess a request against current states. Raises what `_quoted` raises, and TooManyGrantsAtOnce."""
    assessment = _quoted(work, request)
    resources, organisation = table(work), assessment.organisation
    enforce = organisation.enforce
    for each in resources.all:
        # What is transient is counted also while nothing is limited. A call for each of the others took 1 % of it all.
        if each.name in enforce or each.transient or organisation.enforces(each.name):
            each.check(assessment)
    failed = {check.reason for check in assessment.checks if not check.ok}
    if failed:
        assessment.reason = next(reason for reason in resources.reasons if reason in failed)
    return assessment


def _quoted(work: Work, request: Request) -> Assessment:
    """What the request would take as of now: priced by the price book, or estimated where nothing is priced.

    Raises Unpriced for a model (or count, or complexity) without a price, UnsizedHold where use is charged and nothing
    says how much to hold, UnknownTokenType, TokensNeeded where neither a price nor an estimate says how many tokens it
    takes, NothingToCheck where nothing applies.
    """
    count = count_of(request.options)
    ask = Ask(
        provider=request.provider,
        model=request.model,
        operation=request.operation,
        options=request.options,
        estimate=request.estimate,
        may_lower=request.may_lower,
    )
    book = book_of(work)
    # Where no model is named and no entry matches, the estimates apply.
    price = quote_or_none(book, ask, work.now) if request.model is None else quote(book, ask, work.now)
    provider = price.named.provider if price else provider_name(book.at(work.now), request.provider)
    model = price.named.model if price else request.model
    assessment = Assessment(work, organisation_of(work), request, count, price, provider, model)
    resources = table(work)
    for each in resources.all:
        each.quote(assessment)
    if price is None and not request.only_stores:
        paid = (each.unit_of(assessment.token_type) for each in resources.accounts)
        if not any(unit in assessment.amounts for unit in paid):
            raise NothingToCheck(operation=request.operation)
    return assessment
