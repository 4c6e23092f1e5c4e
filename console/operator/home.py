"""What an operator looks at first: each figure with its status, a sentence, and where to read on."""

from typing import Any, NamedTuple

from starlette.responses import Response

from console.operator.runbook import HERE as RUNBOOK
from console.operator.runbook import entries
from console.pages import Pages
from console.person import ADMINS, PLATFORM, PLATFORM_READERS
from console.visit import Visit


class Figure(NamedTuple):
    """Its name in the API's answer, its title here, and the page that shows more to whoever may see it."""

    name: str
    title: str
    page: str = ""
    roles: frozenset[str] = PLATFORM_READERS


FIGURES = (
    Figure("read_models", "Read models"),
    Figure("relay", "Publishing to Kafka"),
    Figure("topic", "The ledger's topic"),
    Figure("usage", "Usage events"),
    Figure("consumers", "Topics that are read"),
    Figure("notifier", "Alerts and webhooks"),
    Figure("oldest_hold", "Oldest open hold"),
    Figure("overdue_holds", "Holds past their end"),
    Figure("quarantine", "Quarantine", "/operator/quarantine"),
    Figure("webhooks", "Webhooks", "/admin/webhooks", ADMINS),
    Figure("disk", "Disk space"),
    Figure("last_verify", "Last verify", "/operator/verify"),
    Figure("last_rebuild", "Last rebuild", "/operator/rebuild", PLATFORM),
    Figure("log", "The log", "/operator/events"),
)
URGENCY = ("act", "look", "ok")

pages = Pages()


@pages.get("/operator", PLATFORM_READERS)
async def home(visit: Visit) -> Response:
    """The whole page; its figures are asked for again every few seconds."""
    return visit.render("operator/home.html", **await _told(visit))


@pages.get("/operator/parts/figures", PLATFORM_READERS)
async def figures(visit: Visit) -> Response:
    """The figures as they are now."""
    return visit.render("operator/home_part.html", **await _told(visit))


async def _told(visit: Visit) -> dict[str, Any]:
    """The figures, what is urgent first."""
    told = await visit.api.get("/api/v1/operations")
    urgent = sorted(FIGURES, key=lambda figure: URGENCY.index(told[figure.name]["status"]))
    waiting = {status: sum(told[figure.name]["status"] == status for figure in FIGURES) for status in URGENCY}
    return {"told": told, "figures": urgent, "waiting": waiting, "runbook": RUNBOOK, "entries": entries()}
