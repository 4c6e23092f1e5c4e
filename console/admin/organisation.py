"""The settings of one's organisation: what is checked, who pays, what failures and overruns cost."""

from typing import Any
from zoneinfo import available_timezones

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import in_path, text, whole
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMINS
from console.visit import Visit

HERE = "/admin/organisation"
ZONES = sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")
RESOURCES = (
    ("credits", "Credits", "what generations cost"),
    ("tokens", "Tokens", "what generations without a price take"),
    ("storage", "Storage", "room for what is generated"),
    ("groups", "Groups", "limits on images and videos"),
    ("budget", "Budget", "dollars of a user's month"),
    ("plan", "Plan", "the plan's tokens by feature"),
)
OVER_ACTUAL = (
    ("refuse", "Charge what was held; the rest is only reported"),
    ("available", "Charge what is available too; what is missing becomes a visible shortfall"),
)
OUTCOMES = (
    ("provider_error", "The provider failed"),
    ("input_blocked", "The prompt was blocked"),
    ("output_blocked", "The result was blocked"),
    ("timed_out", "It took too long"),
    ("cancelled", "It was cancelled"),
    ("other", "Anything else"),
)
PAYERS = (("user:{user}", "The user's own credits"), ("org:{org}", "The organisation's credits"))
MOST_PAYERS = 5
LEAST_SHOWN = 3

pages = Pages()


@pages.get(HERE, ADMINS)
async def organisation(visit: Visit) -> Response:
    """The settings as they are, and the plan."""
    return await _page(visit)


@pages.post(HERE, ADMINS)
async def save(visit: Visit) -> Response:
    """All settings of the form; not over somebody else's change meanwhile."""
    form = await visit.form()
    try:
        await visit.api.patch(_api(visit), _wanted(form), etag=text(form, "etag") or None)
    except ApiProblem as problem:
        return await _page(visit, problem, _typed(form), text(form, "etag"))
    return visit.redirect(HERE, "The settings are saved. They count from the next request on.")


def _api(visit: Visit) -> str:
    return f"/api/v1/organisations/{in_path(visit.person.organisation)}"


def _typed(form: FormData) -> dict[str, Any]:
    return {
        "time_zone": text(form, "time_zone"),
        "enforce": [str(name) for name in form.getlist("enforce")],
        "pay_from": [str(payer) for payer in form.getlist("pay_from") if payer],
        "over_actual": text(form, "over_actual"),
        "settlement_policy": {name: text(form, f"policy_{name}") for name, _ in OUTCOMES},
    }


def _wanted(form: FormData) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    policy = {name: whole(form, f"policy_{name}", label) or 0 for name, label in OUTCOMES}
    return {**_typed(form), "settlement_policy": policy}


async def _page(
    visit: Visit, problem: ApiProblem | None = None, typed: dict[str, Any] | None = None, etag: str = ""
) -> Response:
    answer = await visit.api.file(_api(visit))
    now = answer.json()
    settings = now | (typed or {})
    groups = (await visit.api.get("/api/groups", limit=200))["items"]
    payers = [*PAYERS, *((f"group:{group['id']}", f"The group {group['name']}") for group in groups)]
    known = {payer for payer, _ in payers}
    payers += [(payer, payer) for payer in settings["pay_from"] if payer not in known]
    return visit.render(
        "admin/organisation.html",
        problem.status if problem else 200,
        organisation=now,
        settings=settings,
        etag=etag or answer.headers.get("ETag", ""),
        problem=problem,
        zones=ZONES,
        resources=RESOURCES,
        over_actual=OVER_ACTUAL,
        outcomes=OUTCOMES,
        payers=payers,
        places=min(MOST_PAYERS, max(LEAST_SHOWN, len(settings["pay_from"]) + 1)),
    )
