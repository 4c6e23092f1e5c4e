"""What happened to one reservation or generation, event by event."""

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from console.pages import Pages
from console.person import INSPECTORS
from console.visit import Visit

PAGE, PAGES = 200, 10  # movements of a hold are looked for among so many of its account's

pages = Pages()


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
    for _ in range(PAGES):
        page = await visit.api.get(
            f"{_path(account)}/transactions", from_=hold["created_at"], limit=PAGE, cursor=cursor
        )
        found += [each for each in page["items"] if each["reservation_id"] == id_]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found[::-1]


def _path(account: str) -> str:
    return f"/api/v1/accounts/{quote(account, safe=':')}"
