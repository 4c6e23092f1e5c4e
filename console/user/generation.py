"""One generation: what was asked, why it was allowed or refused, which grants paid, and what happened since."""

from urllib.parse import quote, urlencode

from starlette.responses import Response

from console.pages import Pages
from console.visit import Visit

OPEN = ("held", "running")

pages = Pages()


@pages.get("/generations/{id}")
async def generation(visit: Visit) -> Response:
    """The explanation, in words; the log alone knows a generation of this very moment."""
    path = f"/api/v1/generations/{quote(visit.path['id'], safe='')}"
    why = await visit.api.get(f"{path}/explain")
    whole = await visit.api.get_or_none(path, min_position=why["position"])
    report = f"{visit.settings.report_to}?{urlencode({'generation': visit.path['id']})}"
    return visit.render("user/generation.html", why=why, whole=whole, report=report, open_states=OPEN)


@pages.post("/generations/{id}/cancel")
async def cancel(visit: Visit) -> Response:
    """Call it off while no worker has begun: everything returns."""
    await visit.api.post(f"/api/v1/generations/{quote(visit.path['id'], safe='')}/cancel", {})
    return visit.redirect(visit.request.url.path.removesuffix("/cancel"), "Cancelled. Everything came back.")
