"""What a use of a token type or a feature costs in plan tokens (S3), and what a plan costs in money."""

from domain.credits.events import Paid
from domain.organisations.events import Billing
from domain.plans.events import PlanPublished
from domain.plans.state import Catalogue
from domain.refusal import Refusal, RefusalKind

MAX_TOKENS = 10**12


class UnknownTokenUse(Refusal, code="unknown_token_use", kind=RefusalKind.INVALID):
    """A token type, feature or complexity that the platform does not have; `known` lists those that it has."""

    field: str
    value: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.field}: there is no {self.value}. Known are: {', '.join(self.known)}."


def token_cost(
    catalogue: Catalogue,
    *,
    token_type: str | None,
    feature: str | None,
    quantity: int = 1,
    complexity: str | None = None,
) -> tuple[str, int]:
    """The token type and the cost of `quantity` (1 or more) uses, rounded up so that no part of a token is free.

    With both a type and a feature, the feature is only a label (contract). Raises UnknownTokenUse.
    """
    if token_type is not None:
        cost = catalogue.token_costs.get(token_type)
        if cost is None:
            raise UnknownTokenUse("token_type", token_type, tuple(catalogue.token_costs))
        return token_type, _bounded(cost * quantity)
    known = catalogue.features.get(feature or "")
    if known is None:
        raise UnknownTokenUse("feature", feature or "", tuple(catalogue.features))
    percent = 100
    if complexity is not None and known.complexity:
        if complexity not in known.complexity:
            raise UnknownTokenUse("complexity", complexity, tuple(known.complexity))
        percent = known.complexity[complexity]
    off = max((off for least, off in known.bulk if quantity >= least), default=0)
    return known.token_type, _bounded(-(-known.cost * quantity * percent * (100 - off) // 10_000))


def _bounded(cost: int) -> int:
    if cost > MAX_TOKENS:
        raise UnknownTokenUse("quantity", str(cost), (f"at most {MAX_TOKENS} tokens at a time",))
    return cost


def price_of(terms: PlanPublished, billing: Billing) -> Paid | None:
    """What a plan costs: one cycle of it, or twelve in advance (less `annual_percent_off`, rounded up to a micro-unit).

    None for a plan that is not for sale.
    """
    if terms.price is None or billing is Billing.MONTHLY:
        return terms.price
    return terms.price._replace(amount=-(-12 * terms.price.amount * (100 - terms.annual_percent_off) // 100))
