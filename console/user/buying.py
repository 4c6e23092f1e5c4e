"""Buying packages and choosing a plan: where a refusal's "Buy More Tokens" and "Upgrade Plan" lead."""

import asyncio
import secrets
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from console.admin.purchases import settled
from console.admin.visible import visible
from console.api import ApiProblem
from console.pages import Pages
from console.person import PLATFORM, USER
from console.visit import Visit, local

ORDERED = "Ordered. It is yours to use when an administrator has confirmed your payment."

pages = Pages()


@pages.get("/settings/tokens")
async def packages(visit: Visit) -> Response:
    """What can be bought, what one has, and what one bought before."""
    offers, me, bought = await asyncio.gather(
        visit.api.get("/api/v1/packages"),
        visit.api.get("/api/auth/me"),
        visit.api.get("/api/v1/purchases", limit=10),
    )
    # Plan tokens are the organisation's: administrators buy them.
    own = [each for each in offers["items"] if visit.person.role != USER or not each["unit"].startswith("tokens.")]
    return visit.render(
        "user/packages.html",
        packages=own,
        me=me,
        purchases=bought["items"],
        back=_back(visit.query.get("return")),
        key=secrets.token_urlsafe(18),
    )


@pages.post("/settings/tokens")
async def buy(visit: Visit) -> Response:
    """Buy one package. The form's key makes a second click the same purchase."""
    form = await visit.form()
    back = _back(str(form.get("return", "")))
    here = "/settings/tokens" + (f"?return={quote(back, safe='')}" if back else "")
    try:
        bought = await visit.api.post(
            "/api/v1/purchases", {"package": str(form.get("package", ""))}, key=str(form.get("key", "")) or None
        )
    except ApiProblem as problem:
        return visit.refused(here, problem)
    if bought.get("checkout_url"):
        return RedirectResponse(bought["checkout_url"], status_code=303)  # the provider's own page, from the settings
    await visible(visit, "/api/v1/purchases", bought)
    return visit.redirect(here, ORDERED, kind="warn")


@pages.post("/settings/tokens/cancel")
async def cancel(visit: Visit) -> Response:
    """Give up a purchase that is not paid."""
    return await settled(visit, "cancel", "/settings/tokens", "The purchase is cancelled.")


@pages.get("/settings/subscription")
async def plans(visit: Visit) -> Response:
    """The plans side by side, with the organisation's own."""
    offers, stats = await asyncio.gather(visit.api.get("/api/v1/plans"), visit.api.get("/api/v1/tokens/stats"))
    return visit.render(
        "user/plans.html",
        plans=offers["items"],
        stats=stats,
        may_change=visit.person.role in PLATFORM,
        back=_back(visit.query.get("return")),
    )


@pages.post("/settings/subscription", PLATFORM)
async def change(visit: Visit) -> Response:
    """Put the organisation on another plan."""
    plan = str((await visit.form()).get("plan", ""))
    path = f"/api/v1/organisations/{quote(visit.person.organisation, safe='')}/plan"
    try:
        await visit.api.put(path, {"plan": plan})
    except ApiProblem as problem:
        return visit.refused("/settings/subscription", problem)
    return visit.redirect("/settings/subscription", f"The organisation is on the plan {plan} now.")


def _back(path: str | None) -> str:
    """Where the person came from, if that is a page of ours; else nothing."""
    return local(path) if path and local(path) == path else ""
