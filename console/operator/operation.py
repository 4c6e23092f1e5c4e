"""The state of the service: each figure with its status, a sentence, and where to read on.

Beside it what an operator starts: the proof of the log, a rebuild of the read models, usage events tried again.
"""

from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.responses import Response

from console.operator.runbook import HERE as RUNBOOK
from console.operator.runbook import entries
from console.pages import Pages
from console.person import ADMINS, INSPECTORS, PLATFORM, PLATFORM_READERS
from console.visit import Values, Visit

REBUILD = "/operator/rebuild"
QUARANTINE = "/operator/quarantine"


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
    Figure("overdue_holds", "Expired holds still open"),
    Figure("quarantine", "Quarantine", "/operator/quarantine"),
    Figure("webhooks", "Webhooks", "/admin/webhooks", ADMINS),
    Figure("disk", "Disk space"),
    Figure("last_verify", "Last verify", "/operator/verify"),
    Figure("last_rebuild", "Last rebuild", "/operator/rebuild", PLATFORM),
    Figure("log", "The log", "/operator/events"),
)
URGENCY = ("act", "look", "ok")

pages = Pages()


@pages.get("/operator", PLATFORM_READERS, template="operator/home.html")
@pages.get("/operator/parts/figures", PLATFORM_READERS, template="operator/home_part.html")
async def figures(visit: Visit) -> Values:
    """The figures, urgent ones first; the page reloads them every few seconds."""
    told = await visit.api.get("/api/v1/operations")
    urgent = sorted(FIGURES, key=lambda figure: URGENCY.index(told[figure.name]["status"]))
    waiting = {status: sum(told[figure.name]["status"] == status for figure in FIGURES) for status in URGENCY}
    return {"told": told, "figures": urgent, "waiting": waiting, "runbook": RUNBOOK, "entries": entries()}


@pages.get("/operator/verify", INSPECTORS)
async def verify(visit: Visit) -> Response:
    """The page; verify.js starts the run and shows its progress."""
    last: Any = None
    if visit.person.role in PLATFORM_READERS:
        last = (await visit.api.get("/api/v1/operations"))["last_verify"].get("verify")
    return visit.render("operator/verify.html", last=last)


@pages.get(REBUILD, PLATFORM, template="operator/rebuild.html")
@pages.get("/operator/parts/rebuild", PLATFORM, template="operator/rebuild_part.html")
async def rebuild(visit: Visit) -> Values:
    """The last rebuild, or the progress of the one that runs."""
    return {"rebuild": await visit.api.get_or_none("/api/v1/rebuilds/current")}


@pages.post(REBUILD, PLATFORM, back=REBUILD)
async def start_rebuild(visit: Visit) -> Response:
    """Start a rebuild."""
    await visit.api.post("/api/v1/rebuilds", {})
    return visit.redirect(REBUILD, "The rebuild has started. The old read models serve until it is done.")


@pages.get(QUARANTINE, PLATFORM_READERS)
async def quarantine(visit: Visit) -> Response:
    """Usage events that could not be applied."""
    status = "all" if visit.query.get("status") == "all" else "open"
    found = await visit.api.get("/api/v1/quarantine", status=status, cursor=visit.query.get("cursor"))
    return visit.render(
        "operator/quarantine.html",
        items=found["items"],
        cursor=found["next_cursor"],
        status=status,
        may_retry=visit.person.role in PLATFORM,
    )


@pages.post(QUARANTINE, PLATFORM, back=QUARANTINE)
async def retry_usage(visit: Visit) -> Response:
    """Try one of them again."""
    id_ = str((await visit.form()).get("id", ""))
    answer = await visit.api.post(f"/api/v1/quarantine/{quote(id_, safe='')}/retry", {})
    if answer["applied"]:
        return visit.redirect(QUARANTINE, "Applied. It has left the quarantine.")
    why = answer["detail"] or str(answer["reason"]).replace("_", " ")
    return visit.redirect(QUARANTINE, f"It still cannot be applied: {why}", kind="warn")
