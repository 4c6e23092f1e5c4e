"""Plans, features and packages: publish and read them (S3)."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from api.http.caller import Call, expected_version
from api.http.command import command
from api.http.endpoint import Answer, endpoint, shaped
from api.http.fields import Body, Count, Id, Label, Money, Name, given_settings, shown_settings, with_settings
from api.http.lists import Json
from api.http.policy import May
from api.http.services import Services
from domain.credits.events import Paid
from domain.money import decimal_text
from domain.plans.events import Feature, FeaturesPublished, Package, PackagesPublished, PlanPublished
from domain.plans.publish import PublishFeatures, PublishPackages, PublishPlan
from domain.plans.state import STREAM, Catalogue
from domain.settings.setting import Owner
from infra.partitions import PLATFORM
from infra.writer.submission import Outcome

MAX_CATALOGUE_BODY = 524_288  # 2,000 features, or 500 packages; the event of it must fit into a Kafka record
MOST = 2_000  # elements of a list; the domain's own bounds are narrower
Percent = Annotated[int, Field(ge=0, le=100)]


class Price(Money):
    """Money: a decimal as text, and its currency."""


@with_settings(Owner.PLAN)
class PlanTerms(Body):
    """All terms of a plan. `tokens`: per token type and 30-day cycle, `storage_limit`: bytes for each user."""

    name: Label
    tokens: Annotated[dict[Name, Count], Field(max_length=MOST)] = Field(default_factory=dict)
    credits: Count = 0
    storage_limit: Count | None = None
    price: Price | None = None
    annual_percent_off: Percent = 0


class PlanPublishedAnswer(BaseModel):
    """The plan's new version."""

    id: str
    version: int
    position: str


class Bulk(Body):
    """From `count` uses at once on, `percent_off` of their cost."""

    count: Count
    percent_off: Percent


class FeatureBody(Body):
    """A use costs `cost` tokens of a type; `complexity`: percentages of it by name."""

    name: Id
    token_type: Name
    cost: Count
    complexity: Annotated[dict[Name, Count], Field(max_length=32)] = Field(default_factory=dict)
    bulk: Annotated[list[Bulk], Field(max_length=32)] = Field(default_factory=list)


class FeaturesBody(Body):
    """All features from now on, and what a use of each token type costs."""

    features: Annotated[list[FeatureBody], Field(max_length=MOST)]
    token_costs: Annotated[dict[Name, Count], Field(max_length=MOST)]


class PackageBody(Body):
    """`amount` of `unit` (`credits`, `tokens`, `tokens.<type>`) for `price`."""

    id: Id
    name: Label
    unit: Name
    amount: Count
    price: Price
    expires_after_days: Count | None = None


class PackagesBody(Body):
    """All packages from now on."""

    packages: Annotated[list[PackageBody], Field(max_length=MOST)]


class VersionAnswer(BaseModel):
    """The new version of the list."""

    version: int
    position: str


def shown_money(paid: Paid) -> dict[str, str]:
    """Money as it is read."""
    return {"amount": decimal_text(paid.amount), "currency": paid.currency}


def shown_plan(plan: PlanPublished) -> dict[str, Any]:
    """A plan as it is read."""
    price = shown_money(plan.price) if plan.price else None
    settings = shown_settings(plan.settings, Owner.PLAN)
    return shaped(PlanTerms, plan, id=plan.plan, version=plan.version, price=price, **settings)


def shown_feature(feature: Feature) -> dict[str, Any]:
    """A feature as it is read."""
    return shaped(FeatureBody, feature, bulk=[{"count": count, "percent_off": off} for count, off in feature.bulk])


def shown_package(package: Package) -> dict[str, Any]:
    """A package as it is read."""
    return shaped(PackageBody, package, price=shown_money(package.price))


def _published(outcome: Outcome) -> Answer:
    event = outcome.one(PlanPublished)
    return {"id": event.plan, "version": event.version}


@command("PUT /api/v1/plans/{id}", May.MANAGE_PLATFORM, PlanPublishedAnswer, answer=_published, org=PLATFORM)
def publish_plan(call: Call, body: PlanTerms, _sealed: str | None) -> Any:
    """Publish a plan, or new terms of one."""
    return PublishPlan(
        plan=call.id,
        name=body.name,
        tokens=body.tokens,
        credits=body.credits,
        storage_limit=body.storage_limit,
        price=body.price.paid if body.price else None,
        annual_percent_off=body.annual_percent_off,
        settings=given_settings(body, Owner.PLAN),
        expected=expected_version(call),
    )


@command(
    "PUT /api/v1/features",
    May.MANAGE_PLATFORM,
    VersionAnswer,
    max_bytes=MAX_CATALOGUE_BODY,
    event=FeaturesPublished,
    org=PLATFORM,
)
def publish_features(call: Call, body: FeaturesBody, _sealed: str | None) -> Any:
    """Publish all features and the costs of token types."""
    features = tuple(
        Feature(
            name=each.name,
            token_type=each.token_type,
            cost=each.cost,
            complexity=each.complexity,
            bulk=tuple((step.count, step.percent_off) for step in each.bulk),
        )
        for each in body.features
    )
    return PublishFeatures(features=features, token_costs=body.token_costs, expected=expected_version(call))


@command(
    "PUT /api/v1/packages",
    May.MANAGE_PLATFORM,
    VersionAnswer,
    max_bytes=MAX_CATALOGUE_BODY,
    event=PackagesPublished,
    org=PLATFORM,
)
def publish_packages(call: Call, body: PackagesBody, _sealed: str | None) -> Any:
    """Publish all packages that can be bought."""
    packages = tuple(
        Package(
            id=each.id,
            name=each.name,
            unit=each.unit,
            amount=each.amount,
            price=each.price.paid,
            expires_after_days=each.expires_after_days,
        )
        for each in body.packages
    )
    return PublishPackages(packages=packages, expected=expected_version(call))


class PlanList(BaseModel):
    """All plans; `version` of one is its ETag for If-Match."""

    items: list[dict[str, Any]]
    next_cursor: str | None = None
    as_of: datetime


class FeatureList(BaseModel):
    """All features, and what a use of each token type costs; `version` is the list's ETag."""

    version: int
    features: list[dict[str, Any]]
    token_costs: dict[str, int]


class PackageList(BaseModel):
    """All packages; `version` is the list's ETag."""

    version: int
    items: list[dict[str, Any]]
    next_cursor: str | None = None


async def catalogue_now(services: Services) -> tuple[Catalogue, datetime]:
    """What the platform offers now, and as of when. Raises Problem (503)."""
    now = await services.current(PLATFORM, STREAM)
    catalogue: Catalogue = now.states[STREAM]
    return catalogue, now.time


@endpoint("GET /api/v1/plans", May.READ_PRICES, PlanList)
async def list_plans(call: Call) -> dict[str, Any]:
    """The plans that an organisation can be on."""
    catalogue, now = await catalogue_now(call.services)
    plans = [shown_plan(plan) for plan in catalogue.plans.values()]
    return {"items": plans, "next_cursor": None, "as_of": now}


@endpoint("GET /api/v1/features", May.READ_PRICES, FeatureList)
async def list_features(call: Call) -> Json:
    """The features that cost plan tokens."""
    catalogue, _ = await catalogue_now(call.services)
    version = catalogue.features_version
    features = [shown_feature(feature) for feature in catalogue.features.values()]
    answer = {"version": version, "features": features, "token_costs": catalogue.token_costs}
    return Json(answer, headers={"ETag": f'"{version}"'})


@endpoint("GET /api/v1/packages", May.READ_PRICES, PackageList)
async def list_packages(call: Call) -> Json:
    """The packages that can be bought."""
    catalogue, _ = await catalogue_now(call.services)
    version = catalogue.packages_version
    answer = {
        "version": version,
        "items": [shown_package(each) for each in catalogue.packages],
        "next_cursor": None,
    }
    return Json(answer, headers={"ETag": f'"{version}"'})
