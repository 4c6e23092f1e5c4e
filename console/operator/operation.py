"""The state of the service: each figure with its status, a sentence, and where to read on.

Beside it what an operator starts: the proof of the log, a rebuild of the read models, usage events tried again.
"""

from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.responses import Response

from console.api import ApiProblem
from console.operator.runbook import HERE as RUNBOOK
from console.operator.runbook import entries
from console.pages import Pages
from console.person import ADMINS, INSPECTORS, PLATFORM, PLATFORM_READERS
from console.visit import Visit

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
    return visit.render("operator/home.html", **await _figures(visit))


@pages.get("/operator/parts/figures", PLATFORM_READERS)
async def figures(visit: Visit) -> Response:
    """The figures as they are now."""
    return visit.render("operator/home_part.html", **await _figures(visit))


async def _figures(visit: Visit) -> dict[str, Any]:
    """The figures, what is urgent first."""
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


@pages.get(REBUILD, PLATFORM)
async def rebuild(visit: Visit) -> Response:
    """The last rebuild, or the one that runs."""
    return visit.render("operator/rebuild.html", rebuild=await _current(visit))


@pages.get("/operator/parts/rebuild", PLATFORM)
async def rebuild_part(visit: Visit) -> Response:
    """How far it is now."""
    return visit.render("operator/rebuild_part.html", rebuild=await _current(visit))


@pages.post(REBUILD, PLATFORM)
async def start_rebuild(visit: Visit) -> Response:
    """Ask for a rebuild."""
    try:
        await visit.api.post("/api/v1/rebuilds", {})
    except ApiProblem as problem:
        return visit.refused(REBUILD, problem)
    return visit.redirect(REBUILD, "The read models are being made anew. The old ones serve until they are done.")


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


@pages.post(QUARANTINE, PLATFORM)
async def retry_usage(visit: Visit) -> Response:
    """Try one of them again."""
    id_ = str((await visit.form()).get("id", ""))
    try:
        told = await visit.api.post(f"/api/v1/quarantine/{quote(id_, safe='')}/retry", {})
    except ApiProblem as problem:
        return visit.refused(QUARANTINE, problem)
    if told["applied"]:
        return visit.redirect(QUARANTINE, "Applied. It has left the quarantine.")
    why = told["detail"] or str(told["reason"]).replace("_", " ")
    return visit.redirect(QUARANTINE, f"It still cannot be applied: {why}", kind="warn")


async def _current(visit: Visit) -> Any:
    return await visit.api.get_or_none("/api/v1/rebuilds/current")
