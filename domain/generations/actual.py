"""What a generation really cost: as its worker says, as its measured use is priced, or the part that succeeded."""

from typing import NamedTuple

from domain.bounds import MAX_AMOUNT
from domain.credits.events import Paid
from domain.generations.events import Content, GenerationHeld
from domain.generations.movements import amount_of
from domain.generations.refusals import InvalidSettlement
from domain.generations.state import Generation
from domain.kernel.work import Work
from domain.organisations.events import Resource
from domain.prices.book import book_of
from domain.prices.quote import Ask, priced_by_use, usage_cost
from domain.quotas.events import Amounts


class Reported(NamedTuple):
    """What a worker reports with an outcome; amounts that it leaves out follow from the hold.

    `usage`: measured units by name, priced by the held price version. `succeeded`: how many of `count`. `usd`: micro.
    """

    usage: dict[str, int] | None = None
    credits: int | None = None
    tokens: int | None = None
    usd: int | None = None
    contents: tuple[Content, ...] = ()
    succeeded: int | None = None
    provider_cost: Paid | None = None
    generation_time_ms: int | None = None


NOTHING_REPORTED = Reported()


def check_reported(reported: Reported) -> None:
    """Money is at most 10^12 micro-units at a time, wherever it is reported. Raises InvalidSettlement."""
    cost = reported.provider_cost
    for field, amount in (("actual.usd", reported.usd), ("provider_cost.amount", cost.amount if cost else None)):
        if amount is not None and amount > MAX_AMOUNT:
            raise InvalidSettlement(field=field, reason=f"must be at most {MAX_AMOUNT} micro-units", limit=MAX_AMOUNT)


class Actual(NamedTuple):
    """The cost by resource, and the use that groups count."""

    paid: dict[Resource, int]
    usd: int
    counted: Amounts
    succeeded: int


def used_credits(work: Work, asked: GenerationHeld, usage: dict[str, int]) -> int | None:
    """What reported use costs by the held price; none where that is a fixed price, which use does not change.

    Raises Unpriced for a unit without a rate.
    """
    book, ask = book_of(work), _ask(asked)
    if not priced_by_use(book, ask, work.now, asked.quote.price_version):
        return None
    return _by_usage(work, asked, usage)


def actual_of(work: Work, generation: Generation, asked: GenerationHeld, reported: Reported, *, final: bool) -> Actual:
    """Work out the cost: what is not reported is the share of the hold for those that succeeded.

    At the end that is all that is left; a part is charged only what is reported of it.
    Raises InvalidSettlement where more succeeded than was asked for, Unpriced for usage.
    """
    left = asked.count - generation.succeeded
    succeeded = reported.succeeded
    if succeeded is None:
        succeeded = left if final else 0
    if succeeded > left:
        raise InvalidSettlement(field="succeeded", reason=f"at most {left} of {asked.count} are left", limit=left)
    everything = final and succeeded == left
    given = {Resource.CREDITS: reported.credits, Resource.TOKENS: reported.tokens, Resource.PLAN: None}
    if reported.usage is not None and reported.credits is None:
        given[Resource.CREDITS] = _by_usage(work, asked, reported.usage)
    paid = {
        resource: amount
        if amount is not None
        else _share(held_of(generation, resource), succeeded, left, everything=everything)
        for resource, amount in given.items()
    }
    usd = reported.usd
    if usd is None:
        usd = _share(_usd_left(generation, asked, left), succeeded, left, everything=everything)
    return Actual(paid, usd, _counted(generation, succeeded, left, everything=everything), succeeded)


def held_of(generation: Generation, resource: Resource) -> int:
    """What is held of a resource that accounts pay for."""
    return sum(amount_of(held) for held in generation.held(resource))


def _by_usage(work: Work, asked: GenerationHeld, usage: dict[str, int]) -> int:
    if not any(usage.values()):
        return 0
    return usage_cost(book_of(work), _ask(asked), usage, work.now, asked.quote.price_version).amount


def _ask(asked: GenerationHeld) -> Ask:
    return Ask(provider=asked.provider, model=asked.model, operation=asked.operation, options=asked.options)


def _usd_left(generation: Generation, asked: GenerationHeld, left: int) -> int:
    """The expected money that is not yet spent: what the budget holds, or the quote's part where it holds nothing."""
    for held in generation.held(Resource.BUDGET):
        return held.amounts.get("usd", 0)
    return asked.quote.usd * left // asked.count


def _counted(generation: Generation, succeeded: int, left: int, *, everything: bool) -> Amounts:
    """What groups count of it: the part that succeeded of what is still held."""
    for held in generation.held(Resource.GROUPS):
        return {what: _share(amount, succeeded, left, everything=everything) for what, amount in held.amounts.items()}
    return {}


def _share(amount: int, succeeded: int, left: int, *, everything: bool) -> int:
    """The part of an amount for those that succeeded of those still awaited, rounded up."""
    if everything:
        return amount
    return -(-amount * succeeded // left) if left else 0
