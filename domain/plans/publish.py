"""Publish plans, features with the costs of token types, and packages."""

import re
from dataclasses import dataclass, field
from typing import Any

from domain.credits.events import Paid
from domain.ids import DOTS, ID, NAME
from domain.kernel.domain import Decider, Module, timeless
from domain.kernel.work import Work
from domain.plans.events import EVENTS, Feature, FeaturesPublished, Package, PackagesPublished, PlanPublished
from domain.plans.refusals import InvalidOffer
from domain.plans.state import STREAM, Catalogue, evolve, own_catalogue
from domain.refusal import StaleVersion
from domain.settings.change import Given, changed
from domain.settings.setting import Owner

MAX_AMOUNT = 10**12
MAX_NAME = 255
MAX_BULK_STEPS = 20
CURRENCY = re.compile(r"[A-Z]{3}")


def check_id(field: str, value: str, form: re.Pattern[str] = ID) -> None:
    """An id of the contract, or another form of name. Raises InvalidOffer."""
    if not form.fullmatch(value) or value in DOTS:
        raise InvalidOffer(field, f"must match {form.pattern} and be neither . nor ..")


def check_name(field: str, value: str) -> None:
    """A name for people. Raises InvalidOffer."""
    if not 1 <= len(value) <= MAX_NAME:
        raise InvalidOffer(field, f"must have 1 to {MAX_NAME} characters", MAX_NAME)


def check_range(field: str, value: int, least: int = 0, most: int = MAX_AMOUNT) -> None:
    """Raises InvalidOffer."""
    if not least <= value <= most:
        raise InvalidOffer(field, f"must be {least} to {most}", most if value > most else least)


def check_price(field: str, price: Paid) -> None:
    """What is for sale costs something: 1 to 10^12 micro-units of an ISO 4217 currency. Raises InvalidOffer."""
    check_range(f"{field}.amount", price.amount, 1)
    if not CURRENCY.fullmatch(price.currency):
        raise InvalidOffer(f"{field}.currency", "must be three capital letters (ISO 4217)")


def check_count(field: str, count: int, most: int) -> None:
    """Raises InvalidOffer."""
    if count > most:
        raise InvalidOffer(field, f"at most {most} are allowed", most)


def check_bulk(field: str, steps: tuple[tuple[int, int], ...]) -> None:
    """Steps of (count from which it applies, percent off), counts rising; nothing becomes free. Raises InvalidOffer."""
    check_count(field, len(steps), MAX_BULK_STEPS)
    before = 0
    for index, (least, off) in enumerate(steps):
        check_range(f"{field}[{index}].count", least, before + 1)
        check_range(f"{field}[{index}].percent_off", off, 0, 99)
        before = least


MAX_PLANS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishPlan:
    """All terms of a plan for who chooses it from now on.

    `tokens`: 0 to 10^12 per token type and 30-day cycle; `credits`: 0 to 10^12 per cycle; `storage_limit`: bytes for
    each user, 0 to 10^12. `price`: of one cycle, none for a plan that is not for sale. `annual_percent_off`: 0 to 100.
    `settings`: those of the plan that resources declare. `expected`: the version that the caller has read, 0 for the
    first terms or a new plan.
    """

    plan: str
    name: str
    tokens: dict[str, int] = field(default_factory=dict)
    credits: int = 0
    storage_limit: int | None = None
    price: Paid | None = None
    annual_percent_off: int = 0
    settings: Given = field(default_factory=dict)
    expected: int | None = None


def publish_plan(work: Work, command: PublishPlan) -> None:
    """The plan in its next version. There is no way to take one away, so starter always exists.

    Raises StaleVersion, InvalidOffer, InvalidSetting.
    """
    catalogue = own_catalogue(work)
    before = catalogue.plans.get(command.plan)
    version = before.version if before else 0
    if command.expected is not None and command.expected != version:
        raise StaleVersion(what=f"plan {command.plan}", current=version)
    _check_plan(catalogue, command)
    published = PlanPublished(
        plan=command.plan,
        version=version + 1,
        name=command.name,
        tokens=command.tokens,
        credits=command.credits,
        storage_limit=command.storage_limit,
        price=command.price,
        annual_percent_off=command.annual_percent_off,
        settings=changed(work, Owner.PLAN, {}, command.settings),
    )
    work.emit(STREAM, published)


def _check_plan(catalogue: Catalogue, command: PublishPlan) -> None:
    check_id("plan", command.plan)
    check_name("name", command.name)
    if command.plan not in catalogue.plans:
        check_count("plans", len(catalogue.plans) + 1, MAX_PLANS)
    for token_type, amount in command.tokens.items():
        if token_type not in catalogue.token_costs:
            raise InvalidOffer(f"tokens.{token_type}", f"known are {', '.join(catalogue.token_costs)}")
        check_range(f"tokens.{token_type}", amount)
    check_range("credits", command.credits)
    if command.storage_limit is not None:
        check_range("storage_limit", command.storage_limit)
    if command.price is not None:
        check_price("price", command.price)
    check_range("annual_percent_off", command.annual_percent_off, 0, 100)


MAX_FEATURES = 2_000
MAX_TOKEN_TYPES = 200
MAX_COMPLEXITIES = 20
MAX_COMPLEXITY_PERCENT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishFeatures:
    """All features and all token types from now on; no use is free.

    `token_costs`: 1 to 10^12 tokens by type. A feature costs 1 to 10^12 tokens of a known type, `complexity` is 1 to
    10,000 percent of it, `bulk` takes 0 to 99 percent off. `expected`: the version that the caller has read.
    """

    features: tuple[Feature, ...]
    token_costs: dict[str, int]
    expected: int | None = None


def publish_features(work: Work, command: PublishFeatures) -> None:
    """The next version, in force at once. Raises StaleVersion, InvalidOffer."""
    catalogue = own_catalogue(work)
    if command.expected is not None and command.expected != catalogue.features_version:
        raise StaleVersion(what="list of features", current=catalogue.features_version)
    _check_types(catalogue, command.token_costs)
    check_count("features", len(command.features), MAX_FEATURES)
    seen: set[str] = set()
    for index, feature in enumerate(command.features):
        _check_feature(f"features[{index}]", feature, command.token_costs)
        if feature.name in seen:
            raise InvalidOffer(f"features[{index}].name", f"{feature.name} is there twice")
        seen.add(feature.name)
    published = FeaturesPublished(
        version=catalogue.features_version + 1, features=command.features, token_costs=command.token_costs
    )
    work.emit(STREAM, published)


def _check_types(catalogue: Catalogue, token_costs: dict[str, int]) -> None:
    check_count("token_costs", len(token_costs), MAX_TOKEN_TYPES)
    for token_type, cost in token_costs.items():
        check_id("token_costs", token_type, NAME)
        check_range(f"token_costs.{token_type}", cost, 1)
    for plan in catalogue.plans.values():
        for token_type, amount in plan.tokens.items():
            if amount and token_type not in token_costs:
                raise InvalidOffer(f"token_costs.{token_type}", f"is needed: the plan {plan.plan} grants such tokens")
    for package in catalogue.packages:
        token_type = package.unit.removeprefix("tokens.")
        if token_type != package.unit and token_type not in token_costs:
            raise InvalidOffer(f"token_costs.{token_type}", f"is needed: the package {package.id} sells such tokens")


def _check_feature(where: str, feature: Feature, token_costs: dict[str, int]) -> None:
    check_id(f"{where}.name", feature.name)
    if feature.token_type not in token_costs:
        raise InvalidOffer(f"{where}.token_type", f"known are {', '.join(token_costs)}")
    check_range(f"{where}.cost", feature.cost, 1)
    check_count(f"{where}.complexity", len(feature.complexity), MAX_COMPLEXITIES)
    for name, percent in feature.complexity.items():
        check_id(f"{where}.complexity", name)
        check_range(f"{where}.complexity.{name}", percent, 1, MAX_COMPLEXITY_PERCENT)
    check_bulk(f"{where}.bulk", feature.bulk)


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
        _check_package(f"packages[{index}]", package, units)
        if package.id in seen:
            raise InvalidOffer(f"packages[{index}].id", f"{package.id} is there twice")
        seen.add(package.id)
    work.emit(STREAM, PackagesPublished(version=catalogue.packages_version + 1, packages=command.packages))


def _check_package(where: str, package: Package, units: set[str]) -> None:
    check_id(f"{where}.id", package.id)
    check_name(f"{where}.name", package.name)
    if package.unit not in units:
        raise InvalidOffer(f"{where}.unit", f"known are {', '.join(sorted(units))}")
    check_range(f"{where}.amount", package.amount, 1)
    check_price(f"{where}.price", package.price)
    if package.expires_after_days is not None:
        check_range(f"{where}.expires_after_days", package.expires_after_days, 1, MAX_DAYS)


def _offers(_command: Any) -> tuple[str, ...]:
    """What changes the platform's offers runs in the platform's own organisation."""
    return (STREAM,)


MODULE = Module(
    deciders={
        PublishPlan: Decider(_offers, publish_plan),
        PublishFeatures: Decider(_offers, publish_features),
        PublishPackages: Decider(_offers, publish_packages),
    },
    # Schema 2: the first features, with which every fold begins, have one more.
    kinds={STREAM: timeless(Catalogue(), evolve, lambda catalogue: len(catalogue.features), schema=2)},
    events=EVENTS,
)
