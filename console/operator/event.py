"""One event: what it says, what it changed in its stream, and what proves it."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.responses import Response

from console.operator.events import EVENTS
from console.pages import Pages
from console.person import INSPECTORS
from console.visit import Visit

CHAIN = 20  # links of the chain after the event that the page shows
AT_ONCE = 50  # events of one stream that one commit may hold; they have the same time

pages = Pages()


class Change(NamedTuple):
    """A part of a stream's state that differs; None is what is not there."""

    name: str
    before: str | None
    after: str | None


@pages.get("/operator/events/{position}", INSPECTORS)
async def event(visit: Visit) -> Response:
    """One event, the ways to its neighbours in the stream, and the state of the stream around it."""
    position = quote(visit.path["position"], safe="")
    shown, proof, state = await asyncio.gather(
        visit.api.get(f"{EVENTS}/{position}"),
        visit.api.get(f"/api/v1/audit/proof/{position}", limit=CHAIN),
        visit.api.get(f"{EVENTS}/{position}/state"),
    )
    earlier, later = await _neighbours(visit, shown)
    return visit.render(
        "operator/event.html",
        event=shown,
        proof=proof,
        changes=changes(state["before"], state["after"]),
        state=state,
        cut=cut(state),
        earlier=earlier,
        later=later,
    )


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """What differs between two states of a stream; nested names are joined by dots."""
    left, right = _flat(before), _flat(after)
    return [
        Change(name, left.get(name), right.get(name)) for name in {**left, **right} if left.get(name) != right.get(name)
    ]


def cut(state: dict[str, Any]) -> list[tuple[str, int]]:
    """The collections of which the API shows a part only, each with how many entries it has after the event."""
    counted = state["counts"]["after"]
    return [(name, number) for name, number in counted.items() if number > len(state["after"].get(name) or ())]


async def _neighbours(visit: Visit, shown: dict[str, Any]) -> tuple[str | None, str | None]:
    """The positions of the events before and after it in its stream."""
    until = datetime.fromisoformat(shown["time"]) + timedelta(microseconds=1)
    to = until.isoformat().replace("+00:00", "Z")
    before, after = await asyncio.gather(
        visit.api.get(EVENTS, stream=shown["stream"], to=to, order="desc", limit=AT_ONCE),
        visit.api.get(EVENTS, stream=shown["stream"], after=shown["position"], limit=1),
    )
    versions = {each["version"]: each["position"] for each in (*before["items"], *after["items"])}
    return versions.get(shown["version"] - 1), versions.get(shown["version"] + 1)


def _flat(state: Any, name: str = "") -> dict[str, str]:
    """Values by their names; a list of plain values is one value."""
    parts: dict[str, Any] = {}
    if isinstance(state, dict):
        parts = state
    elif isinstance(state, list) and any(isinstance(each, dict) for each in state):
        parts = {str(number): each for number, each in enumerate(state)}
    if not parts:
        return {} if state in (None, "", [], {}) else {name: _text(state)}
    found: dict[str, str] = {}
    for key, value in parts.items():
        found |= _flat(value, f"{name}.{key}" if name else str(key))
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
