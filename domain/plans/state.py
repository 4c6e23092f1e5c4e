"""What the platform offers and what has become of a purchase, as decisions see it."""

from typing import NamedTuple

from domain.kernel.work import Work
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
