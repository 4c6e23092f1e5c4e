"""What a generation would take: priced by the price book, or estimated where nothing is priced (S0, S2, S3, S4)."""

from typing import NamedTuple

from domain.generations.events import Quoted
from domain.generations.refusals import NothingToCheck, TokensNeeded
from domain.generations.request import IMAGE_LIKE, MB, SHORT_VIDEO_S, VIDEO, Request
from domain.kernel.work import Work
from domain.plans.cost import token_cost
from domain.plans.state import catalogue_of
from domain.prices.book import book_of
from domain.prices.names import provider_name
from domain.prices.quote import Ask, Quote, count_of, quote, quote_or_none
from domain.prices.refusals import UnpricedScale
from domain.quotas.events import Amounts

UPLOAD = "upload"
IMAGE_BYTES, VIDEO_BYTES = 5 * MB, 10 * MB  # S0: free space that each needs


class Needs(NamedTuple):
    """What it would take of each resource for `units` of it (option `count`); `counted` is by what groups count.

    `provider` and `model` as the price book spells them.
    """

    quote: Quoted
    units: int
    counted: Amounts
    provider: str | None
    model: str | None


def needs_of(work: Work, request: Request) -> Needs:
    """Price the request as of now.

    Raises Unpriced for a model (or count, or complexity) without a price, UnsizedHold where use is charged and nothing
    says how much to hold, UnknownTokenType, TokensNeeded where neither a price nor an estimate says how many tokens it
    takes, NothingToCheck where nothing applies.
    """
    count = count_of(request.options)
    price = _price(work, request)
    token_type, plan_tokens = _plan_tokens(work, request, count)
    tokens = _tokens(request, price, count, planned=plan_tokens > 0)
    size = _bytes(request) * count
    asked = Quoted(
        (price.credits or 0) if price else 0,
        tokens,
        (price.usd_micros or 0) if price else 0,
        size,
        token_type,
        plan_tokens,
        price.item if price else None,
        price.price_version if price else None,
    )
    if price is None and not tokens and not plan_tokens and not _stores(request):
        raise NothingToCheck(operation=request.operation)
    provider = price.named.provider if price else provider_name(book_of(work).at(work.now), request.provider)
    model = price.named.model if price else request.model
    return Needs(asked, count, _counted(request.operation, count), provider, model)


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


def _tokens(request: Request, price: Quote | None, count: int, *, planned: bool) -> int:
    """Tokens by the price, else by the estimate for the operation; what the caller declares can only raise it."""
    declared = request.tokens or 0
    if price is not None and (price.tokens is not None or price.credits is not None):
        return max(price.tokens or 0, declared)
    if request.model is not None:
        return declared
    estimate = _estimate(request)
    if estimate is not None:
        return max(estimate * count, declared)
    paid_otherwise = planned or price is not None or _stores(request)
    if request.tokens is None and not paid_otherwise:
        raise TokensNeeded(operation=request.operation)
    return declared


def _stores(request: Request) -> bool:
    """Whether bytes alone are asked for: an upload takes nothing else, anything that is generated does."""
    return request.operation == UPLOAD and request.bytes is not None


def _estimate(request: Request) -> int | None:
    """S0's default for one; none for an operation that has none."""
    defaults, options = request.defaults, request.options
    match request.operation:
        case "image":
            complexity = str(options.get("complexity", "simple")).casefold()
            by_name = {"simple": defaults.image_simple, "complex": defaults.image_complex}
            if complexity not in by_name:
                raise UnpricedScale(asked=f"complexity {complexity}", priced=tuple(by_name))
            return by_name[complexity]
        case "video":
            duration = options.get("duration", SHORT_VIDEO_S)
            short = isinstance(duration, int) and not isinstance(duration, bool) and duration <= SHORT_VIDEO_S
            return defaults.video_short if short else defaults.video_long
        case "chat":
            return defaults.chat
        case _:
            return None


def _plan_tokens(work: Work, request: Request, count: int) -> tuple[str | None, int]:
    if request.token_type is None and request.feature is None:
        return None, 0
    complexity = request.options.get("complexity")
    return token_cost(
        catalogue_of(work),
        token_type=request.token_type,
        feature=request.feature,
        quantity=count,
        complexity=str(complexity) if complexity is not None else None,
    )


def _bytes(request: Request) -> int:
    declared = request.bytes or 0
    if request.operation in IMAGE_LIKE:
        return max(IMAGE_BYTES, declared)
    return max(VIDEO_BYTES, declared) if request.operation == VIDEO else declared


def _counted(operation: str, count: int) -> Amounts:
    if operation in IMAGE_LIKE:
        return {"image": count}
    return {"video": count} if operation == VIDEO else {}
