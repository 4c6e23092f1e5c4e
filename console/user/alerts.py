"""What Scrip told about a person: a budget nearly used, credits low or about to expire."""

from starlette.responses import Response

from console.pages import Pages
from console.visit import Visit

pages = Pages()


@pages.get("/settings/alerts")
async def alerts(visit: Visit) -> Response:
    """One's own alerts, newest first."""
    found = await visit.api.get("/api/v1/alerts/me", cursor=visit.query.get("cursor"))
    return visit.render("user/alerts.html", items=found["items"], cursor=found["next_cursor"])
