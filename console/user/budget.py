"""A person's monthly budget: what is left, what it went to, and setting it."""

import asyncio

from starlette.responses import Response

from console.api import ApiProblem
from console.pages import Pages
from console.visit import Visit

PERIODS = (("week", "Week"), ("month", "Month"), ("year", "Year"))
REFUSED = 422

pages = Pages()


@pages.get("/settings/budget")
async def budget(visit: Visit) -> Response:
    """The budget and the costs of a period."""
    return await _shown(visit)


@pages.post("/settings/budget")
async def change(visit: Visit) -> Response:
    """Set the monthly budget, 1 to 1000 USD (S2), not above the ceiling that an admin set."""
    typed = str((await visit.form()).get("monthly_budget", "")).strip().removeprefix("$")
    try:
        await visit.api.put("/api/v1/budgets/me", {"monthly_budget": typed})
    except ApiProblem as problem:
        if problem.status != REFUSED:
            raise
        return await _shown(visit, error=problem.detail, typed=typed, status=REFUSED)
    return visit.redirect("/settings/budget", "Your budget is changed.")


async def _shown(visit: Visit, *, error: str = "", typed: str | None = None, status: int = 200) -> Response:
    period = visit.query.get("period", "month")
    period = period if period in dict(PERIODS) else "month"
    mine, alerts, analytics, costs = await asyncio.gather(
        visit.api.get("/api/v1/budgets/me"),
        visit.api.get("/api/v1/budgets/me/alerts"),
        visit.api.get("/api/v1/budgets/me/analytics", period=period),
        visit.api.get("/api/v1/budgets/me/costs", limit=20),
    )
    return visit.render(
        "user/budget.html",
        status,
        budget=mine,
        alerts=alerts["alerts"],
        analytics=analytics,
        costs=costs["items"],
        periods=PERIODS,
        period=period,
        error=error,
        typed=mine["monthly_budget"] if typed is None else typed,
    )
