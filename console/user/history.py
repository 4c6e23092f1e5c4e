"""What happened: one row for each generation, and every movement of an account with its statement."""

from starlette.responses import Response

from console.days import day
from console.downloads import download
from console.pages import Pages
from console.visit import Visit

STATUSES = ("refused", "held", "running", "completed", "failed", "cancelled", "expired", "settled_late")
OUTCOMES = ("provider_error", "input_blocked", "output_blocked", "timed_out", "cancelled", "other")
UNITS = ("credits", "tokens")
FORMATS = ("csv", "pdf", "json")
PAGE = 50

pages = Pages()


@pages.get("/history")
async def history(visit: Visit) -> Response:
    """Generations, newest first, found by the filters in the address."""
    asked = visit.query
    found = await visit.api.get(
        "/api/v1/generations",
        user_id=visit.person.sub,
        q=asked.get("q"),
        status=asked.get("status"),
        outcome=asked.get("outcome"),
        from_=day(asked.get("from")),
        to=day(asked.get("to"), after=1),
        cursor=asked.get("cursor"),
        limit=PAGE,
    )
    filtered = any(asked.get(name) for name in ("q", "status", "outcome", "from", "to"))
    return visit.render(
        "user/history.html",
        items=found["items"],
        cursor=found["next_cursor"],
        statuses=STATUSES,
        outcomes=OUTCOMES,
        filtered=filtered,
    )


@pages.get("/history/movements")
async def movements(visit: Visit) -> Response:
    """Every movement of the person's credits or tokens."""
    unit = _unit(visit)
    found = await visit.api.get(
        f"/api/v1/accounts/user:{visit.person.sub}:{unit}/transactions",
        from_=day(visit.query.get("from")),
        to=day(visit.query.get("to"), after=1),
        cursor=visit.query.get("cursor"),
        limit=PAGE,
    )
    return visit.render(
        "user/movements.html", items=found["items"], cursor=found["next_cursor"], unit=unit, units=UNITS
    )


@pages.get("/history/statement")
async def statement(visit: Visit) -> Response:
    """The account's statement as a file."""
    form = visit.query.get("format", "csv")
    path = f"/api/v1/accounts/user:{visit.person.sub}:{_unit(visit)}/statement"
    form = form if form in FORMATS else "csv"
    answer = await visit.api.file(
        path,
        format=form,
        bom=form == "csv" or None,
        from_=day(visit.query.get("from")),
        to=day(visit.query.get("to"), after=1),
    )
    return download(answer, f"statement.{form}")


def _unit(visit: Visit) -> str:
    unit = visit.query.get("unit", UNITS[0])
    return unit if unit in UNITS else UNITS[0]
