"""Publish which features there are, and what a use of each feature and token type costs."""

from dataclasses import dataclass

from domain.ids import NAME
from domain.kernel.work import Work
from domain.plans.bounds import check_bulk, check_count, check_id, check_range
from domain.plans.events import Feature, FeaturesPublished
from domain.plans.refusals import InvalidOffer
from domain.plans.state import STREAM, Catalogue, own_catalogue
from domain.refusal import StaleVersion

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
        _check(f"features[{index}]", feature, command.token_costs)
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


def _check(where: str, feature: Feature, token_costs: dict[str, int]) -> None:
    check_id(f"{where}.name", feature.name)
    if feature.token_type not in token_costs:
        raise InvalidOffer(f"{where}.token_type", f"known are {', '.join(token_costs)}")
    check_range(f"{where}.cost", feature.cost, 1)
    check_count(f"{where}.complexity", len(feature.complexity), MAX_COMPLEXITIES)
    for name, percent in feature.complexity.items():
        check_id(f"{where}.complexity", name)
        check_range(f"{where}.complexity.{name}", percent, 1, MAX_COMPLEXITY_PERCENT)
    check_bulk(f"{where}.bulk", feature.bulk)
