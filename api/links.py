"""Where a person who was refused can go on (S0): a label and a link for each way out."""

from typing import Any, NamedTuple

from domain.organisations.events import Resource
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
    found = [action for check in failed for action in _ways_out(check, links)]
    return [{"label": label, "href": href} for label, href in dict.fromkeys(found)]


def _ways_out(check: dict[str, Any], links: Links) -> list[tuple[str, str]]:
    upgrade = ("Upgrade Plan", links.plan)
    match check["resource"]:
        case Resource.TOKENS:
            return [("Buy More Tokens", links.tokens), upgrade]
        case Resource.CREDITS:
            return [("Buy More Credits", links.tokens), upgrade]
        case Resource.PLAN:
            return [upgrade] if check["reason"] == "plan_blocked" else [("Buy More Tokens", links.tokens), upgrade]
        case Resource.STORAGE:
            return [
                ("Delete Old Generations", links.generations),
                ("Upgrade for More Storage", links.plan),
            ]
        case Resource.BUDGET:
            return [("Raise Budget", links.budget)]
        case _:
            return [("Ask Your Admin", links.admin)]  # a group's limit is nobody's to change but an admin's
