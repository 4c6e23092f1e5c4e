"""Proving the log, making the read models anew, and usage events that could not be applied."""

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from console.api import ApiProblem
from console.pages import Pages
from console.person import INSPECTORS, PLATFORM, PLATFORM_READERS
from console.visit import Visit

REBUILD = "/operator/rebuild"
QUARANTINE = "/operator/quarantine"

pages = Pages()


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
async def start(visit: Visit) -> Response:
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
async def retry(visit: Visit) -> Response:
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
