"""Read model: every version of the platform's plans, features and packages that was published."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple, assert_never, get_args

from domain.plans.events import FeaturesPublished, PackagesPublished, PlanPublished, PlansEvent
from projections.facts import Fact
from projections.prices import PLATFORM
from projections.read_model import Int4, Keep, ReadModel, State


class Offer(NamedTuple):
    """What the platform published: every version of each plan (`kind` plan, `id` its name), of all features with the
    costs of token types (kind features, id empty) and of all packages (kind packages, id empty). What was never
    published has no row and is as the code ships it. `terms` is the event's own content.
    """

    kind: str
    id: str
    version: Int4
    terms: dict[str, Any]
    published_at: datetime
    position: int


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


def fold(state: State, fact: Fact) -> None:
    """Only the platform's offers count."""
    if fact.org == PLATFORM:
        state.log(CATALOGUE).append(published(fact, fact.event))


CATALOGUE = ReadModel(
    name="catalogue",
    row=Offer,
    key=("kind", "id", "version"),
    events={"plans": get_args(PlansEvent)},
    fold=fold,
    keep=Keep.LOG,
)
