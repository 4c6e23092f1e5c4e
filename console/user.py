"""Pages for the person who generates: what they have, stored and may spend, what happened, and what they can buy."""

import asyncio
import time
from urllib.parse import urlencode

from starlette.responses import JSONResponse, RedirectResponse, Response

from console.admin.form_values import in_path
from console.admin.purchases import settled
from console.api import ABSENT, ApiProblem
from console.pages import Pages
from console.person import PLATFORM, USER
from console.visit import Values, Visit, day, local

LATEST = 5  # generations on the overview
IN_PROGRESS = ("held", "running")
STATUSES = ("refused", "held", "running", "completed", "failed", "cancelled", "expired", "settled_late")
OUTCOMES = ("provider_error", "input_blocked", "output_blocked", "timed_out", "cancelled", "other")
UNITS = ("credits", "tokens")
STATEMENT_FORMATS = ("csv", "pdf", "json")
HISTORY_PAGE = 50
SORTS = ("size", "age")
MOST_CHOSEN = 200  # of one selection
VIDEO_BYTES = 10 * 1024 * 1024  # what a video and an image need to be free (S0)
IMAGE_BYTES = 5 * 1024 * 1024
PERIODS = (("week", "Week"), ("month", "Month"), ("year", "Year"))
REFUSED = 422
ORDERED = "Ordered. You can use it once an administrator confirms your payment."
TOKEN_S = 600  # of a token for the browser's components

pages = Pages()


@pages.get("/", template="user/overview.html")
@pages.get("/parts/overview", template="user/overview_part.html")
async def overview(visit: Visit) -> Values:
    """The whole page, and the part of it that follows the ledger."""
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
        limit=HISTORY_PAGE,
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
        limit=HISTORY_PAGE,
    )
    return visit.render(
        "user/movements.html", items=found["items"], cursor=found["next_cursor"], unit=unit, units=UNITS
    )


@pages.get("/history/statement")
async def statement(visit: Visit) -> Response:
    """The account's statement as a file."""
    wanted = visit.query.get("format", "csv")
    form = wanted if wanted in STATEMENT_FORMATS else "csv"
    return await visit.download(
        f"/api/v1/accounts/user:{visit.person.sub}:{_unit(visit)}/statement",
        f"statement.{form}",
        format=form,
        bom=form == "csv" or None,
        from_=day(visit.query.get("from")),
        to=day(visit.query.get("to"), after=1),
    )


def _unit(visit: Visit) -> str:
    unit = visit.query.get("unit", UNITS[0])
    return unit if unit in UNITS else UNITS[0]


@pages.get("/generations")
async def contents(visit: Visit) -> Response:
    """The stored generations, the largest or the oldest first."""
    sort = visit.query.get("sort", "size")
    found, storage = (
        await visit.api.get(
            "/api/v1/contents",
            user_id=visit.person.sub,
            sort=sort if sort in SORTS else "size",
            cursor=visit.query.get("cursor"),
        ),
        await visit.api.get("/api/v1/storage/me"),
    )
    return visit.render(
        "user/contents.html",
        items=found["items"],
        cursor=found["next_cursor"],
        storage=storage,
        sort=sort,
        video_bytes=VIDEO_BYTES,
        image_bytes=IMAGE_BYTES,
    )


@pages.post("/generations/delete")
async def delete_contents(visit: Visit) -> Response:
    """Delete what was chosen; each one once, however often it is asked. contents.js asks when nobody undid it."""
    chosen = [str(each) for each in (await visit.form()).getlist("id")][:MOST_CHOSEN]
    for id_ in chosen:
        try:
            await visit.api.delete(f"/api/v1/contents/{in_path(id_)}")
        except ApiProblem as problem:
            if problem.status != ABSENT:  # gone already is what was wanted
                raise
    if visit.request.headers.get("Accept") == "application/json":
        return JSONResponse({"deleted": len(chosen)})
    return visit.redirect("/generations", "Deleted. The space is free.")


@pages.get("/generations/{id}")
async def generation(visit: Visit) -> Response:
    """The explanation, in words; the log alone knows a generation of this very moment."""
    path = f"/api/v1/generations/{in_path(visit.path['id'])}"
    why = await visit.api.get(f"{path}/explain")
    whole = await visit.api.get_or_none(path, min_position=why["position"])
    report = f"{visit.settings.report_to}?{urlencode({'generation': visit.path['id']})}"
    return visit.render("user/generation.html", why=why, whole=whole, report=report, open_states=IN_PROGRESS)


@pages.post("/generations/{id}/cancel")
async def cancel_generation(visit: Visit) -> Response:
    """Call it off while no worker has begun: everything returns."""
    await visit.api.post(f"/api/v1/generations/{in_path(visit.path['id'])}/cancel", {})
    return visit.redirect(visit.request.url.path.removesuffix("/cancel"), "Cancelled. Everything was released.")


@pages.get("/settings/budget")
async def budget(visit: Visit) -> Response:
    """The budget and the costs of a period."""
    return await _budget_page(visit)


@pages.post("/settings/budget")
async def change_budget(visit: Visit) -> Response:
    """Set the monthly budget, 1 to 1000 USD (S2), not above the ceiling that an admin set."""
    typed = str((await visit.form()).get("monthly_budget", "")).strip().removeprefix("$")
    try:
        await visit.api.put("/api/v1/budgets/me", {"monthly_budget": typed})
    except ApiProblem as problem:
        if problem.status != REFUSED:
            raise
        return await _budget_page(visit, problem, typed)
    return visit.redirect("/settings/budget", "Your budget is changed.")


async def _budget_page(visit: Visit, problem: ApiProblem | None = None, typed: str | None = None) -> Response:
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
        budget=mine,
        alerts=alerts["alerts"],
        analytics=analytics,
        costs=costs["items"],
        periods=PERIODS,
        period=period,
        problem=problem,
        typed=mine["monthly_budget"] if typed is None else typed,
    )


@pages.get("/settings/alerts")
async def alerts(visit: Visit) -> Response:
    """One's own alerts, newest first."""
    found = await visit.api.get("/api/v1/alerts/me", cursor=visit.query.get("cursor"))
    return visit.render("user/alerts.html", items=found["items"], cursor=found["next_cursor"])


@pages.get("/groups")
async def groups(visit: Visit) -> Response:
    """Mine alone, also where my role sees all of them."""
    me = await visit.api.get("/api/auth/me")
    return visit.render("user/groups.html", groups=me["groups"])


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
    )


@pages.post("/settings/tokens", back="/settings/tokens")
async def buy_package(visit: Visit) -> Response:
    """Buy one package. The form's key makes a second click the same purchase."""
    form = await visit.form()
    back = _back(str(form.get("return", "")))
    here = "/settings/tokens" + (f"?return={in_path(back)}" if back else "")
    wanted = {"package": str(form.get("package", ""))}
    bought = await visit.api.post("/api/v1/purchases", wanted, key=str(form.get("key", "")))
    if bought.get("checkout_url"):
        return RedirectResponse(bought["checkout_url"], status_code=303)  # the provider's own page, from the settings
    await visit.until_visible("/api/v1/purchases", bought)
    return visit.redirect(here, ORDERED, kind="warn")


@pages.post("/settings/tokens/cancel", back="/settings/tokens")
async def cancel_purchase(visit: Visit) -> Response:
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


@pages.post("/settings/subscription", PLATFORM, back="/settings/subscription")
async def change_plan(visit: Visit) -> Response:
    """Put the organisation on another plan."""
    plan = str((await visit.form()).get("plan", ""))
    await visit.api.put(f"/api/v1/organisations/{in_path(visit.person.organisation)}/plan", {"plan": plan})
    return visit.redirect("/settings/subscription", f"The organisation now has the plan {plan}.")


def _back(path: str | None) -> str:
    """Where the person came from, if that is a page of ours; else nothing."""
    return local(path) if path and local(path) == path else ""


@pages.get("/playground")
async def playground(visit: Visit) -> Response:
    """The page; its components ask the API themselves."""
    return visit.render("playground.html")


@pages.get("/session/token")
async def session_token(visit: Visit) -> Response:
    """A token for the components of this page, short-lived where this service signs tokens itself."""
    person, token, until = visit.person, visit.person.token, visit.person.expires_at
    if visit.settings.sign is not None:
        token = visit.settings.sign(person.org, person.sub, person.role, TOKEN_S)
        until = min(until, int(time.time()) + TOKEN_S)
    return JSONResponse(
        {
            "token": token,
            "expires_at": until,
            "org": person.org,
            "organisation": person.organisation,
            "sub": person.sub,
            "role": person.role,
        }
    )


@pages.post("/session/organisation", PLATFORM)
async def choose_organisation(visit: Visit) -> Response:
    """Look at another organisation from now on."""
    form = await visit.form()
    visit.session.act_for(str(form.get("organisation", "")).strip())
    return visit.redirect(str(form.get("back", "/")))
