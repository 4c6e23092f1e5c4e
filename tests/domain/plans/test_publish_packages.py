"""Publish which packages can be bought."""

from dataclasses import replace

import pytest

from domain.credits.events import Paid
from domain.plans.events import Package, PackagesPublished
from domain.plans.publish import PublishPackages
from domain.plans.refusals import InvalidOffer
from domain.refusal import StaleVersion
from tests.domain.scenario import Scenario

PACK = Package(id="pack", name="Pack", unit="tokens.forecast", amount=9, price=Paid(5, "USD"), expires_after_days=1)


@pytest.mark.parametrize("unit", ["credits", "tokens", "tokens.forecast"])
def test_packages_are_replaced_as_a_whole(unit: str) -> None:
    """S3-9: token packages bought on demand; S4-5: credit packages."""
    packages = (replace(PACK, unit=unit),)
    scenario = Scenario()
    scenario.when(PublishPackages(packages=packages)).then(("plans", PackagesPublished(version=1, packages=packages)))
    scenario.when(PublishPackages(packages=(), expected=1)).then(("plans", PackagesPublished(version=2, packages=())))


def test_refuses_a_list_that_was_written_against_an_older_one() -> None:
    command = PublishPackages(packages=(PACK,), expected=3)
    Scenario().when(command).then_refused(StaleVersion(what="list of packages", current=0))


@pytest.mark.parametrize(
    ("change", "field", "limit"),
    [
        ({"id": ""}, "packages[0].id", None),
        ({"name": ""}, "packages[0].name", 255),
        ({"unit": "tokens.love"}, "packages[0].unit", None),
        ({"unit": "gold"}, "packages[0].unit", None),
        ({"amount": 0}, "packages[0].amount", 1),
        ({"amount": 10**12 + 1}, "packages[0].amount", 10**12),
        ({"price": Paid(0, "USD")}, "packages[0].price.amount", 1),
        ({"price": Paid(5, "dollars")}, "packages[0].price.currency", None),
        ({"expires_after_days": 0}, "packages[0].expires_after_days", 1),
        ({"expires_after_days": 36_501}, "packages[0].expires_after_days", 36_500),
    ],
)
def test_refuses_a_package_that_cannot_be_meant(change: dict[str, object], field: str, limit: int | None) -> None:
    decided = Scenario().when(PublishPackages(packages=(replace(PACK, **change),))).decided  # type: ignore[arg-type]
    assert isinstance(decided.refusal, InvalidOffer)
    assert (decided.refusal.field, decided.refusal.limit) == (field, limit)


@pytest.mark.parametrize(("packages", "field"), [((PACK, PACK), "packages[1].id"), ((PACK,) * 501, "packages")])
def test_refuses_lists_that_cannot_be_meant(packages: tuple[Package, ...], field: str) -> None:
    decided = Scenario().when(PublishPackages(packages=packages)).decided
    assert isinstance(decided.refusal, InvalidOffer)
    assert decided.refusal.field == field
