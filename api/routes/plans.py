"""What organisations can be on, use and buy, as it is now."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from api.commands.plans import shown_feature, shown_package, shown_plan
from api.current import read_current
from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import May
from api.reading import Json
from api.services import Services
from domain.plans.state import STREAM, Catalogue
from infra.partitions import PLATFORM


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
    now = await read_current(services, PLATFORM, STREAM)
    catalogue: Catalogue = now.states[STREAM]
    return catalogue, now.time


@endpoint("GET /api/v1/plans", May.READ_PRICES, PlanList)
async def list_plans(call: Call) -> Json:
    """The plans that an organisation can be on."""
    catalogue, now = await catalogue_now(call.services)
    plans = [shown_plan(plan) for plan in catalogue.plans.values()]
    return Json({"items": plans, "next_cursor": None, "as_of": now})


@endpoint("GET /api/v1/features", May.READ_PRICES, FeatureList)
async def list_features(call: Call) -> Json:
    """The features that cost plan tokens."""
    catalogue, _ = await catalogue_now(call.services)
    version = catalogue.features_version
    features = [shown_feature(feature) for feature in catalogue.features.values()]
    told = {"version": version, "features": features, "token_costs": catalogue.token_costs}
    return Json(told, headers={"ETag": f'"{version}"'})


@endpoint("GET /api/v1/packages", May.READ_PRICES, PackageList)
async def list_packages(call: Call) -> Json:
    """The packages that can be bought."""
    catalogue, _ = await catalogue_now(call.services)
    version = catalogue.packages_version
    told = {
        "version": version,
        "items": [shown_package(each) for each in catalogue.packages],
        "next_cursor": None,
    }
    return Json(told, headers={"ETag": f'"{version}"'})
