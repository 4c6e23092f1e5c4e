"""Read model: every version of the platform's plans, features and packages that was published."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple, assert_never

from domain.plans.events import FeaturesPublished, PackagesPublished, PlanPublished, PlansEvent
from projections.facts import Fact
from projections.table import Table


class Offer(NamedTuple):
    """One version's row (catalogue.sql)."""

    kind: str
    id: str
    version: int
    terms: dict[str, Any]
    published_at: datetime
    position: int


TABLE = Table(
    "catalogue",
    Offer,
    {"kind": "text", "id": "text", "version": "int4", "terms": "jsonb", "published_at": "timestamptz"}
    | {"position": "int8"},
    key=3,
)


def published(fact: Fact, event: PlansEvent) -> Offer:
    """The row of a new version."""
    match event:
        case PlanPublished(plan=plan):
            kind, id_ = "plan", plan
        case FeaturesPublished():
            kind, id_ = "features", ""
        case PackagesPublished():
            kind, id_ = "packages", ""
        case _:
            assert_never(event)
    return Offer(kind, id_, event.version, asdict(event), fact.time, fact.position)
