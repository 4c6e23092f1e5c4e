"""What a person has, what is in progress, what will expire, and what happened last."""

import asyncio
from typing import Any

from starlette.responses import Response

from console.pages import Pages
from console.visit import Visit

LATEST = 5
IN_PROGRESS = ("held", "running")

pages = Pages()


@pages.get("/")
async def overview(visit: Visit) -> Response:
    """The whole page; its parts follow the ledger."""
    return visit.render("user/overview.html", **await _figures(visit))


@pages.get("/parts/overview")
async def overview_part(visit: Visit) -> Response:
    """What changes while one looks at it."""
    return visit.render("user/overview_part.html", **await _figures(visit))


async def _figures(visit: Visit) -> dict[str, Any]:
    account = f"user:{visit.person.sub}:credits"
    me, expirations, latest, *open_ones = await asyncio.gather(
        visit.api.get("/api/auth/me"),
        visit.api.get(f"/api/v1/accounts/{account}/expirations"),
        visit.api.get("/api/v1/generations", user_id=visit.person.sub, limit=LATEST),
        *(visit.api.get("/api/v1/generations", user_id=visit.person.sub, status=status) for status in IN_PROGRESS),
    )
    return {
        "me": me,
        "expirations": expirations["items"],
        "latest": latest["items"],
        "in_progress": [item for each in open_ones for item in each["items"]],
    }
