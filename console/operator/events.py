"""The event explorer: the log by stream, type, actor and time, newest first or oldest first, followed live."""

from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from console.pages import Pages
from console.person import INSPECTORS
from console.visit import Visit

PAGE = 50
EVENTS = "/api/v1/events"
FILTERS = ("stream", "type", "actor", "from", "to")

pages = Pages()


@pages.get("/operator/events", INSPECTORS)
async def events(visit: Visit) -> Response:
    """Events, newest first unless the address says otherwise."""
    return visit.render("operator/events.html", **await _found(visit))


@pages.get("/operator/parts/events", INSPECTORS)
async def events_part(visit: Visit) -> Response:
    """The rows as they are now, for who follows the log."""
    return visit.render("operator/events_part.html", **await _found(visit))


def moment(text: str | None) -> str | None:
    """A time (UTC) from a field for date and time; None where there is none or it is no time."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    except ValueError:
        return None


async def _found(visit: Visit) -> dict[str, Any]:
    asked = visit.query
    oldest_first = asked.get("order") == "asc"
    found = await visit.api.get(
        EVENTS,
        stream=asked.get("stream"),
        type=asked.get("type"),
        actor=asked.get("actor"),
        from_=moment(asked.get("from")),
        to=moment(asked.get("to")),
        order="asc" if oldest_first else "desc",
        cursor=asked.get("cursor"),
        limit=PAGE,
    )
    return {
        "items": found["items"],
        "cursor": found["next_cursor"],
        "filtered": any(asked.get(name) for name in FILTERS),
        # What is new stands on the first page, on top. Elsewhere there is nothing to follow.
        "followable": not (oldest_first or asked.get("cursor") or asked.get("to")),
    }
