"""Start to buy a package or a plan."""

from dataclasses import dataclass

from domain.credits.address import parse_address
from domain.kernel.work import Work
from domain.organisations.events import Billing
from domain.plans.cost import price_of
from domain.plans.events import Package, PurchaseStarted
from domain.plans.refusals import InvalidOffer, NotForSale, PurchaseExists
from domain.plans.state import Catalogue, catalogue_of, purchase_of, purchase_stream

MAX_ID = 200  # the grant is named after it, and ids have at most 255 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPurchase:
    """Somebody wants to buy exactly one of `package` and `plan`; nothing is delivered before it is paid.

    `purchase_id` has at most 200 characters, `provider` names who takes the payment. `address` is the account that a
    package is for: none for the user's own, or the organisation's for tokens of a type. `billing` is for plans.
    """

    purchase_id: str
    user: str
    provider: str
    package: str | None = None
    plan: str | None = None
    billing: Billing = Billing.MONTHLY
    address: str | None = None


def start_purchase(work: Work, command: StartPurchase) -> None:
    """What is bought, at the price of now. Raises PurchaseExists, InvalidOffer, NotForSale."""
    if purchase_of(work, command.purchase_id).started is not None:
        raise PurchaseExists(command.purchase_id)
    if len(command.purchase_id) > MAX_ID:
        raise InvalidOffer("purchase_id", f"must have at most {MAX_ID} characters", MAX_ID)
    if (command.package is None) == (command.plan is None):
        raise InvalidOffer("package", "must be given, or a plan, but not both")
    catalogue = catalogue_of(work)
    if command.plan is not None:
        started = _plan(catalogue, command, command.plan)
    else:
        started = _package(catalogue, command, work.org)
    work.emit(purchase_stream(command.purchase_id), started)


def _package(catalogue: Catalogue, command: StartPurchase, org: str) -> PurchaseStarted:
    package = next((each for each in catalogue.packages if each.id == command.package), None)
    if package is None:
        raise NotForSale("package", command.package or "", tuple(each.id for each in catalogue.packages))
    return PurchaseStarted(
        purchase_id=command.purchase_id,
        user=command.user,
        provider=command.provider,
        price=package.price,
        package=package,
        address=_address(package, command, org),
    )


def _plan(catalogue: Catalogue, command: StartPurchase, plan: str) -> PurchaseStarted:
    if command.address is not None:
        raise InvalidOffer("address", "is for packages: a plan is the organisation's")
    terms = catalogue.plans.get(plan)
    price = price_of(terms, command.billing) if terms else None
    if terms is None or price is None:
        raise NotForSale("plan", plan, tuple(name for name, each in catalogue.plans.items() if each.price))
    return PurchaseStarted(
        purchase_id=command.purchase_id,
        user=command.user,
        provider=command.provider,
        price=price,
        plan=terms,
        billing=command.billing,
    )


def _address(package: Package, command: StartPurchase, org: str) -> str:
    if command.address is None:
        owner = f"org:{org}" if package.unit.startswith("tokens.") else f"user:{command.user}"
        return f"{owner}:{package.unit}"
    try:
        unit = parse_address(command.address).unit
    except ValueError as error:
        raise InvalidOffer("address", str(error)) from None
    if unit != package.unit:
        raise InvalidOffer("address", f"must be an account for {package.unit}")
    return command.address
