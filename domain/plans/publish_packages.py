"""Publish which packages can be bought."""

from dataclasses import dataclass

from domain.kernel.work import Work
from domain.plans.bounds import check_count, check_id, check_name, check_price, check_range
from domain.plans.events import Package, PackagesPublished
from domain.plans.refusals import InvalidOffer
from domain.plans.state import STREAM, own_catalogue
from domain.refusal import StaleVersion

MAX_PACKAGES = 500
MAX_DAYS = 36_500


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPackages:
    """All packages from now on; a purchase that has been started keeps the package that it names.

    `amount` 1 to 10^12 of `credits`, `tokens` or `tokens.{type}` with a known type; `expires_after_days` 1 to 36,500,
    none for never. `expected`: the version that the caller has read.
    """

    packages: tuple[Package, ...]
    expected: int | None = None


def publish_packages(work: Work, command: PublishPackages) -> None:
    """The next version. Raises StaleVersion, InvalidOffer."""
    catalogue = own_catalogue(work)
    if command.expected is not None and command.expected != catalogue.packages_version:
        raise StaleVersion(what="list of packages", current=catalogue.packages_version)
    check_count("packages", len(command.packages), MAX_PACKAGES)
    units = {"credits", "tokens", *(f"tokens.{token_type}" for token_type in catalogue.token_costs)}
    seen: set[str] = set()
    for index, package in enumerate(command.packages):
        _check(f"packages[{index}]", package, units)
        if package.id in seen:
            raise InvalidOffer(f"packages[{index}].id", f"{package.id} is there twice")
        seen.add(package.id)
    work.emit(STREAM, PackagesPublished(version=catalogue.packages_version + 1, packages=command.packages))


def _check(where: str, package: Package, units: set[str]) -> None:
    check_id(f"{where}.id", package.id)
    check_name(f"{where}.name", package.name)
    if package.unit not in units:
        raise InvalidOffer(f"{where}.unit", f"known are {', '.join(sorted(units))}")
    check_range(f"{where}.amount", package.amount, 1)
    check_price(f"{where}.price", package.price)
    if package.expires_after_days is not None:
        check_range(f"{where}.expires_after_days", package.expires_after_days, 1, MAX_DAYS)
