"""Facts about what the platform offers. Amounts are tokens, credits or bytes; prices are integer micro-units."""

from dataclasses import dataclass, field

from domain.credits.address import payment_tag
from domain.credits.events import Paid
from domain.organisations.events import Billing
from domain.settings.setting import Values
from domain.untagged import Untagged


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPublished(Untagged):
    """A plan's terms for who chooses it from now on; who is on it keeps the terms that were chosen.

    `tokens`: per token type and 30-day cycle; `credits`: per cycle; `storage_limit`: bytes for each user, none for the
    deployment's. `annual_percent_off`: for twelve cycles paid in advance. `settings`: what resources declare.
    """

    plan: str
    version: int
    name: str
    tokens: dict[str, int]
    credits: int = 0
    storage_limit: int | None = None
    price: Paid | None = None
    annual_percent_off: int = 0
    settings: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """What one use of a feature costs: `cost` tokens of a type; `complexity` in percent of it, `bulk` as in prices."""

    name: str
    token_type: str
    cost: int
    complexity: dict[str, int] = field(default_factory=dict)
    bulk: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesPublished(Untagged):
    """All features and the cost of a use of each token type, in a new version; in force at once."""

    version: int
    features: tuple[Feature, ...]
    token_costs: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Something that can be bought: `amount` of `unit` (`credits`, `tokens`, `tokens.{type}`) for `price`."""

    id: str
    name: str
    unit: str
    amount: int
    price: Paid
    expires_after_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagesPublished(Untagged):
    """All packages, in a new version."""

    version: int
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseStarted(Untagged):
    """A purchase of a package, or of a plan for `billing`, has begun. Contents and price are decided here.

    It carries the package or the plan's terms as they were, so that what was paid for is what is delivered.
    """

    purchase_id: str
    user: str
    provider: str
    price: Paid
    package: Package | None = None
    address: str | None = None  # the account that the package is for
    plan: PlanPublished | None = None
    billing: Billing = Billing.MONTHLY


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseCompleted:
    """It was paid, once; `payment_ref` is the provider's own id of the payment, unique in the organisation."""

    purchase_id: str
    payment_ref: str

    @property
    def tag(self) -> str:
        return payment_tag(self.payment_ref)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseFailed(Untagged):
    """It was not paid. `reason` is a short code, no text by a person; a payment may still arrive later."""

    purchase_id: str
    reason: str


PlansEvent = PlanPublished | FeaturesPublished | PackagesPublished
PurchaseEvent = PurchaseStarted | PurchaseCompleted | PurchaseFailed

EVENTS: dict[str, type] = {  # by stored name, which never changes
    "plan-published.v1": PlanPublished,
    "features-published.v1": FeaturesPublished,
    "packages-published.v1": PackagesPublished,
    "purchase-started.v1": PurchaseStarted,
    "purchase-completed.v1": PurchaseCompleted,
    "purchase-failed.v1": PurchaseFailed,
}
