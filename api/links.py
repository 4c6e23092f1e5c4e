"""Where a person who was refused can go on (S0): a label and a link for each way out."""

from typing import Any, NamedTuple

from domain.resources.table import RESOURCES
from infra.settings import Settings


class Links(NamedTuple):
    """The application's own pages, as settings name them (`SCRIP_LINK_…`)."""

    tokens: str
    plan: str
    generations: str
    budget: str
    admin: str


def links_of(settings: Settings) -> Links:
    """The pages that a deployment has."""
    return Links(
        tokens=settings.link_tokens,
        plan=settings.link_plan,
        generations=settings.link_generations,
        budget=settings.link_budget,
        admin=settings.link_admin,
    )


def actions(checks: list[dict[str, Any]], reason: str, links: Links) -> list[dict[str, str]]:
    """What helps against the checks that failed, each way once; that for the `reason` of the refusal first."""
    failed = sorted((check for check in checks if not check["ok"]), key=lambda check: check["reason"] != reason)
    found = [action for check in failed for action in RESOURCES.shown(check["resource"]).actions(check["reason"])]
    return [{"label": action.label, "href": getattr(links, action.page)} for action in dict.fromkeys(found)]
