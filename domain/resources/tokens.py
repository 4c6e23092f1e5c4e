"""Tokens: what generations without a price take (S0)."""

from collections.abc import Sequence
from typing import Any

from domain.credits.account import account_of
from domain.generations.assessment import Assessment
from domain.generations.events import ResourceCheck
from domain.generations.refusals import InsufficientTokens, TokensNeeded
from domain.generations.request import SHORT_VIDEO_S, Request
from domain.generations.settlement import Settlement
from domain.prices.refusals import UnpricedScale
from domain.refusal import Refusal
from domain.resources.account import AccountResource, spendable
from domain.resources.resource import Action, deficit


class Tokens(AccountResource):
    """Tokens by the price, else by the estimate for the operation."""

    name = unit = figure = "tokens"
    reason = "insufficient_tokens"
    short = "not enough tokens"
    about = "what generations without a price take"
    buy = Action("Buy More Tokens", "tokens")

    def too_few(self, required: int, available: int) -> Refusal:
        return InsufficientTokens(required, available)

    def quote(self, assessment: Assessment) -> None:
        """Add the tokens. Raises UnpricedScale; TokensNeeded where nothing says how many they are."""
        tokens = _tokens(assessment)
        if tokens:
            assessment.amounts[self.unit] = tokens

    def reported(self, settlement: Settlement) -> int | None:
        return settlement.reported.tokens

    def facts(self, assessment: Assessment, checks: Sequence[ResourceCheck]) -> dict[str, Any]:
        work = assessment.work
        streams = self.payers(work.org, assessment.organisation, assessment.request.user, self.unit)
        return {
            "tokens_needed": deficit(checks),
            "current_tokens": sum(spendable(account_of(work, stream)) for stream in streams),
        }


TOKENS = Tokens()


def _tokens(assessment: Assessment) -> int:
    """What the caller declares can only raise the price or the estimate. Raises UnpricedScale, TokensNeeded."""
    request, price = assessment.request, assessment.price
    declared = request.tokens or 0
    if price is not None and (price.tokens is not None or price.credits is not None):
        return max(price.tokens or 0, declared)
    if request.model is not None:
        return declared
    estimate = _estimate(request)
    if estimate is not None:
        return max(estimate * assessment.count, declared)
    paid_otherwise = assessment.plan_tokens > 0 or price is not None or request.only_stores
    if request.tokens is None and not paid_otherwise:
        raise TokensNeeded(operation=request.operation)
    return declared


def _estimate(request: Request) -> int | None:
    """S0's default for one piece; None for an operation that has none. Raises UnpricedScale."""
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
