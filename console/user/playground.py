"""The components that an application embeds, each with this service behind it."""

from starlette.responses import Response

from console.pages import Pages
from console.visit import Visit

pages = Pages()


@pages.get("/playground")
async def playground(visit: Visit) -> Response:
    """The page; its components ask the API themselves."""
    return visit.render("playground.html")
