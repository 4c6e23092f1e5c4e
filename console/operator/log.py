"""The log: events by stream, type, actor and time, one event with its proof, and the timeline of a reservation."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.responses import Response

from console.pages import Pages
from console.person import INSPECTORS
from console.visit import Values, Visit

PAGE = 50
EVENTS = "/api/v1/events"
FILTERS = ("stream", "type", "actor", "from", "to")
CHAIN = 20  # links of the chain after the event that the page shows
AT_ONCE = 50  # events of one stream that one commit may hold; they have the same time
MOVEMENTS_PAGE, MOST_PAGES = 200, 10  # movements of a hold are looked for among so many of its account's

pages = Pages()


def moment(text: str | None) -> str | None:
    """A time (UTC) from a field for date and time; None where there is none or it is no time."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    except ValueError:
        return None


@pages.get("/operator/events", INSPECTORS, template="operator/events.html")
@pages.get("/operator/parts/events", INSPECTORS, template="operator/events_part.html")
async def events(visit: Visit) -> Values:
    """Events, newest first unless the address says otherwise; the rows alone for a page that follows the log."""
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


@pages.get("/operator/timeline", INSPECTORS)
async def timeline(visit: Visit) -> Response:
    """By id alone; `account` settles it where two accounts have a reservation of the same id."""
    asked = visit.query
    id_ = (asked.get("id") or asked.get("reservation") or asked.get("generation") or "").strip()
    account = asked.get("account", "").strip()
    why = await visit.api.get_or_none(f"/api/v1/generations/{quote(id_, safe='')}/explain") if id_ else None
    if id_ and not why and not account:
        account = await _account_of(visit, id_)
    hold: Any = None
    if id_ and account:
        hold = await visit.api.get_or_none(f"{_path(account)}/reservations/{quote(id_, safe='')}")
    return visit.render(
        "operator/timeline.html",
        id=id_,
        account=account,
        why=why,
        hold=hold,
        moved=await _movements(visit, account, id_, hold) if hold else [],
    )


async def _account_of(visit: Visit, id_: str) -> str:
    """The account that has this reservation; empty where none is known."""
    hits = (await visit.api.get("/api/v1/search", q=id_[:255]))["hits"]
    return next((hit["account"] for hit in hits if hit["kind"] == "reservation" and hit["id"] == id_), "")


async def _movements(visit: Visit, account: str, id_: str, hold: dict[str, Any]) -> list[Any]:
    """The hold's movements, oldest first: they lie between its beginning and its end."""
    found: list[Any] = []
    cursor = None
    for _ in range(MOST_PAGES):
        page = await visit.api.get(
            f"{_path(account)}/transactions", from_=hold["created_at"], limit=MOVEMENTS_PAGE, cursor=cursor
        )
        found += [each for each in page["items"] if each["reservation_id"] == id_]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found[::-1]


def _path(account: str) -> str:
    return f"/api/v1/accounts/{quote(account, safe=':')}"
