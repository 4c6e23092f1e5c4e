"""The groups that a person is in, and what remains in each."""

from starlette.responses import Response

from console.pages import Pages
from console.visit import Visit

pages = Pages()


@pages.get("/groups")
async def groups(visit: Visit) -> Response:
    """Mine alone, also where my role sees all of them."""
    me = await visit.api.get("/api/auth/me")
    return visit.render("user/groups.html", groups=me["groups"])
