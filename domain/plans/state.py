"""What the platform offers and what it costs (S3), and the states of purchases, as decisions see them."""

from typing import NamedTuple

from domain.credits.events import Paid
from domain.kernel.work import Work
from domain.organisations.events import Billing
from domain.plans.catalogue import FEATURES, PACKAGES, PLANS, TOKEN_COSTS
from domain.plans.events import (
    Feature,
    FeaturesPublished,
    Package,
    PackagesPublished,
    PlanPublished,
    PlansEvent,
    PurchaseCompleted,
    PurchaseEvent,
    PurchaseFailed,
    PurchaseStarted,
)
from domain.refusal import Refusal, RefusalKind

STREAM = "plans"  # of the platform's own organisation
PURCHASE_PREFIX = "purchase/"


_FIRST_PLANS = {plan.plan: plan for plan in PLANS}
_FIRST_FEATURES = {feature.name: feature for feature in FEATURES}


class Catalogue(NamedTuple):
    """The newest plans, features and packages; those that an installation starts with until others are published."""

    plans: dict[str, PlanPublished] = _FIRST_PLANS
    features: dict[str, Feature] = _FIRST_FEATURES
    token_costs: dict[str, int] = TOKEN_COSTS
    features_version: int = 0
    packages: tuple[Package, ...] = PACKAGES
    packages_version: int = 0


class Purchase(NamedTuple):
    """A purchase: `status` is `unknown`, `pending`, `completed` or `failed`; `payment_ref` is that of the payment."""

    status: str = "unknown"
    started: PurchaseStarted | None = None
    payment_ref: str | None = None


def purchase_stream(purchase_id: str) -> str:
    """The stream of one purchase."""
    return PURCHASE_PREFIX + purchase_id


def evolve(catalogue: Catalogue, event: PlansEvent) -> Catalogue:
    """Apply one event of the platform's offer."""
    match event:
        case PlanPublished():
            return catalogue._replace(plans={**catalogue.plans, event.plan: event})
        case FeaturesPublished():
            return catalogue._replace(
                features={feature.name: feature for feature in event.features},
                token_costs=event.token_costs,
                features_version=event.version,
            )
        case PackagesPublished():
            return catalogue._replace(packages=event.packages, packages_version=event.version)


def evolve_purchase(purchase: Purchase, event: PurchaseEvent) -> Purchase:
    """Apply one event of a purchase."""
    match event:
        case PurchaseStarted():
            return Purchase("pending", event)
        case PurchaseCompleted():
            return purchase._replace(status="completed", payment_ref=event.payment_ref)
        case PurchaseFailed():
            return purchase._replace(status="failed")


def catalogue_of(work: Work) -> Catalogue:
    """What the platform offers, as a decision of any organisation sees it."""
    catalogue: Catalogue = work.platform(STREAM)
    return catalogue


def own_catalogue(work: Work) -> Catalogue:
    """What the platform offers, as a decision that changes it sees it: in the platform's own organisation."""
    catalogue: Catalogue = work.state(STREAM)
    return catalogue


def purchase_of(work: Work, purchase_id: str) -> Purchase:
    """A purchase, as a decision sees it."""
    purchase: Purchase = work.state(purchase_stream(purchase_id))
    return purchase


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
