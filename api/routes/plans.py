"""What organisations can be on, use and buy, as it is now."""

from datetime import datetime
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.commands.plans import shown_feature, shown_package, shown_plan
from api.current import read_current
from api.reading import Json
from api.routing import ReadRoute
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


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def list_plans() -> Json:
        catalogue, now = await catalogue_now(services)
        plans = [shown_plan(plan) for plan in catalogue.plans.values()]
        return Json({"items": plans, "next_cursor": None, "as_of": now})

    async def list_features() -> Json:
        catalogue, _ = await catalogue_now(services)
        version = catalogue.features_version
        features = [shown_feature(feature) for feature in catalogue.features.values()]
        told = {"version": version, "features": features, "token_costs": catalogue.token_costs}
        return Json(told, headers={"ETag": f'"{version}"'})

    async def list_packages() -> Json:
        catalogue, _ = await catalogue_now(services)
        version = catalogue.packages_version
        told = {
            "version": version,
            "items": [shown_package(each) for each in catalogue.packages],
            "next_cursor": None,
        }
        return Json(told, headers={"ETag": f'"{version}"'})

    return [
        ReadRoute("/api/v1/plans", list_plans, services, "The plans that an organisation can be on", PlanList),
        ReadRoute("/api/v1/features", list_features, services, "The features that cost plan tokens", FeatureList),
        ReadRoute("/api/v1/packages", list_packages, services, "The packages that can be bought", PackageList),
    ]
