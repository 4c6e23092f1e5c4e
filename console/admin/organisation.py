"""One's organisation: what is checked, who pays, what failures and overruns cost, and the keys of its programs.

For the platform also all organisations: set one up, put one on a plan, look at one.
"""

import asyncio
from typing import Any
from zoneinfo import available_timezones

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import in_path, instant, needed, settings, text, typed_settings, whole, wrong
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMIN, ADMINS, PLATFORM, PLATFORM_READERS
from console.visit import Visit

ORGANISATION_PAGE = "/admin/organisation"
ZONES = sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")
OVER_ACTUAL = (
    ("refuse", "Charge only what was reserved; the rest is reported"),
    ("available", "Also charge what is available; the rest becomes a visible shortfall"),
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
ORGANISATIONS_PAGE = "/admin/organisations"
ORGANISATIONS = "/api/v1/organisations"
BILLINGS = (("monthly", "Monthly"), ("annual", "Yearly in advance"))
LOOKS, PAUSE_S = 10, 0.1  # for the list to have a new one
API_KEYS_PAGE = "/admin/api-keys"
API_KEYS = "/api/v1/api-keys"
KEY_ROLES = (
    ("worker", "Worker: checks, starts and settles generations for any user"),
    ("auditor", "Auditor: reads everything, changes nothing"),
    ("org_admin", "Admin of the organisation: may do everything in it"),
)
PLATFORM_ROLE = ("admin", "Admin of the platform: may do everything everywhere")

pages = Pages()


@pages.get(ORGANISATION_PAGE, ADMINS)
async def organisation(visit: Visit) -> Response:
    """The settings as they are, and the plan."""
    return await _organisation_page(visit)


@pages.post(ORGANISATION_PAGE, ADMINS)
async def save_settings(visit: Visit) -> Response:
    """All settings of the form; not over somebody else's change meanwhile."""
    form, declared = await visit.form(), await visit.api.settings("organisation")
    try:
        wanted = _wanted(form) | settings(form, declared)
        await visit.api.patch(_api(visit), wanted, etag=text(form, "etag"))
    except ApiProblem as problem:
        return await _organisation_page(
            visit, problem, _typed(form) | typed_settings(form, declared), text(form, "etag")
        )
    return visit.redirect(ORGANISATION_PAGE, "The settings are saved. They apply from the next request.")


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


async def _organisation_page(
    visit: Visit, problem: ApiProblem | None = None, typed: dict[str, Any] | None = None, etag: str = ""
) -> Response:
    answer = await visit.api.file(_api(visit))
    now = answer.json()
    shown = now | (typed or {})
    groups = (await visit.api.get("/api/groups", limit=200))["items"]
    payers = [*PAYERS, *((f"group:{group['id']}", f"The group {group['name']}") for group in groups)]
    known = {payer for payer, _ in payers}
    payers += [(payer, payer) for payer in shown["pay_from"] if payer not in known]
    return visit.render(
        "admin/organisation.html",
        organisation=now,
        settings=shown,
        declared=await visit.api.settings("organisation"),
        etag=etag or answer.headers.get("ETag", ""),
        problem=problem,
        zones=ZONES,
        resources=[(each["name"], each["label"], each["about"]) for each in now["enforceable"]],
        over_actual=OVER_ACTUAL,
        outcomes=OUTCOMES,
        payers=payers,
        places=min(MOST_PAYERS, max(LEAST_SHOWN, len(shown["pay_from"]) + 1)),
    )


@pages.get(ORGANISATIONS_PAGE, PLATFORM_READERS)
async def organisations(visit: Visit) -> Response:
    """The list, by the beginning of the id."""
    return await _organisations_page(visit)


@pages.post(ORGANISATIONS_PAGE, PLATFORM)
async def create_organisation(visit: Visit) -> Response:
    """Set an organisation up."""
    form = await visit.form()
    typed = {name: text(form, name) for name in ("id", "plan", "billing")}
    try:
        needed(typed["id"], "id", "The id")
        if await _listed(visit, typed["id"]):  # its plan is changed in the list, knowingly
            raise wrong("id", f"The organisation {typed['id']} exists already.")
        await visit.api.post(ORGANISATIONS, typed, key=text(form, "key"))
    except ApiProblem as problem:
        return await _organisations_page(visit, problem, typed)
    for _ in range(LOOKS):
        if await _listed(visit, typed["id"]):
            break
        await asyncio.sleep(PAUSE_S)
    return visit.redirect(ORGANISATIONS_PAGE, f"{typed['id']} is set up.")


@pages.post(ORGANISATIONS_PAGE + "/{id}/plan", PLATFORM, back=ORGANISATIONS_PAGE)
async def choose_plan(visit: Visit) -> Response:
    """Put it on a plan; the terms count from now on."""
    form, id_ = await visit.form(), visit.path["id"]
    body = {"plan": text(form, "plan"), "billing": text(form, "billing") or "monthly"}
    await visit.api.put(f"{ORGANISATIONS}/{in_path(id_)}/plan", body)
    return visit.redirect(text(form, "back") or ORGANISATIONS_PAGE, f"{id_} is on the plan {body['plan']}.")


@pages.post(ORGANISATIONS_PAGE + "/{id}/look", PLATFORM)
async def look_at(visit: Visit) -> Response:
    """All pages are about this organisation from now on."""
    visit.session.act_for(visit.path["id"])
    return visit.redirect("/admin/organisation")


async def _listed(visit: Visit, id_: str) -> bool:
    """Whether the list has it: positions are those of one organisation, so that this list cannot wait for them."""
    found = await visit.api.get(ORGANISATIONS, prefix=id_, limit=1)
    return any(each["id"] == id_ for each in found["items"])


async def _organisations_page(
    visit: Visit, problem: ApiProblem | None = None, typed: dict[str, Any] | None = None
) -> Response:
    prefix = visit.query.get("prefix", "").strip()
    found, plans = (
        await visit.api.get(ORGANISATIONS, prefix=prefix, cursor=visit.query.get("cursor")),
        (await visit.api.get("/api/v1/plans"))["items"],
    )
    return visit.render(
        "admin/organisations.html",
        organisations=found["items"],
        cursor=found["next_cursor"],
        prefix=prefix,
        plans=[(plan["id"], plan["name"]) for plan in plans],
        billings=BILLINGS,
        problem=problem,
        typed=typed or {"id": "", "plan": "starter", "billing": "monthly"},
        may_change=visit.person.role in PLATFORM,
    )


@pages.get(API_KEYS_PAGE, ADMINS)
async def api_keys(visit: Visit) -> Response:
    """All keys, those that were ended too."""
    found = await visit.api.get(API_KEYS, cursor=visit.query.get("cursor"), limit=100)
    return visit.render("admin/api_keys.html", keys=found["items"], cursor=found["next_cursor"])


@pages.get("/admin/parts/new-api-key", ADMINS)
async def new_api_key(visit: Visit) -> Response:
    """The form for another one."""
    return _key_form(visit, {"name": "", "role": "worker", "scopes": ""})


@pages.post(API_KEYS_PAGE, ADMINS)
async def create_api_key(visit: Visit) -> Response:
    """Make one; it is shown in the answer and nowhere else."""
    form = await visit.form()
    try:
        made = await visit.api.post(API_KEYS, _wanted_key(form), key=text(form, "key"))
    except ApiProblem as problem:
        return _key_form(visit, {name: text(form, name) for name in ("name", "role", "scopes")}, problem)
    return visit.render("admin/api_key_made_part.html", made=made)


@pages.post(API_KEYS_PAGE + "/{id}/revoke", ADMINS)
async def revoke_api_key(visit: Visit) -> Response:
    """End it at once."""
    await visit.api.delete(f"{API_KEYS}/{in_path(visit.path['id'])}")
    return visit.redirect(API_KEYS_PAGE, "The key is revoked. Requests with it are refused.")


def _wanted_key(form: FormData) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    scopes = text(form, "scopes").replace(",", " ").split()
    body: dict[str, Any] = {
        "name": needed(text(form, "name"), "name", "The name"),
        "role": text(form, "role"),
        "scopes": scopes or None,
        "expires_at": instant(form, "expires", "Expires"),
    }
    return {name: value for name, value in body.items() if value is not None}


def _key_form(visit: Visit, typed: dict[str, str], problem: ApiProblem | None = None) -> Response:
    roles = [*KEY_ROLES, PLATFORM_ROLE] if visit.person.role == ADMIN else KEY_ROLES
    return visit.render("admin/api_key_form_part.html", typed=typed, problem=problem, roles=roles)
