"""The platform's organisations: set one up, put one on a plan, look at one."""

import asyncio
from typing import Any

from starlette.responses import Response

from console.admin.form_values import in_path, needed, new_key, text, wrong
from console.api import ApiProblem
from console.pages import Pages
from console.person import PLATFORM, PLATFORM_READERS
from console.visit import Visit

HERE = "/admin/organisations"
API = "/api/v1/organisations"
BILLINGS = (("monthly", "Cycle by cycle"), ("annual", "A year in advance"))
LOOKS, PAUSE_S = 10, 0.1  # for the list to have a new one

pages = Pages()


@pages.get(HERE, PLATFORM_READERS)
async def organisations(visit: Visit) -> Response:
    """The list, by the beginning of the id."""
    return await _page(visit)


@pages.post(HERE, PLATFORM)
async def create(visit: Visit) -> Response:
    """Set an organisation up."""
    form = await visit.form()
    typed = {name: text(form, name) for name in ("id", "plan", "billing")}
    try:
        needed(typed["id"], "id", "The id")
        if await _listed(visit, typed["id"]):  # its plan is changed in the list, knowingly
            raise wrong("id", f"The organisation {typed['id']} is there already.")
        await visit.api.post(API, typed, key=text(form, "key") or None)
    except ApiProblem as problem:
        return await _page(visit, problem, typed)
    for _ in range(LOOKS):
        if await _listed(visit, typed["id"]):
            break
        await asyncio.sleep(PAUSE_S)
    return visit.redirect(HERE, f"{typed['id']} is set up.")


@pages.post(HERE + "/{id}/plan", PLATFORM)
async def choose_plan(visit: Visit) -> Response:
    """Put it on a plan; the terms count from now on."""
    form, id_ = await visit.form(), visit.path["id"]
    body = {"plan": text(form, "plan"), "billing": text(form, "billing") or "monthly"}
    try:
        await visit.api.put(f"{API}/{in_path(id_)}/plan", body)
    except ApiProblem as problem:
        return visit.refused(HERE, problem)
    return visit.redirect(text(form, "back") or HERE, f"{id_} is on the plan {body['plan']}.")


@pages.post(HERE + "/{id}/look", PLATFORM)
async def look_at(visit: Visit) -> Response:
    """All pages are about this organisation from now on."""
    visit.session.act_for(visit.path["id"])
    return visit.redirect("/admin/organisation")


async def _listed(visit: Visit, id_: str) -> bool:
    """Whether the list has it: positions are those of one organisation, so that this list cannot wait for them."""
    found = await visit.api.get(API, prefix=id_, limit=1)
    return any(each["id"] == id_ for each in found["items"])


async def _page(visit: Visit, problem: ApiProblem | None = None, typed: dict[str, Any] | None = None) -> Response:
    prefix = visit.query.get("prefix", "").strip()
    found, plans = (
        await visit.api.get(API, prefix=prefix, cursor=visit.query.get("cursor")),
        (await visit.api.get("/api/v1/plans"))["items"],
    )
    return visit.render(
        "admin/organisations.html",
        problem.status if problem else 200,
        organisations=found["items"],
        cursor=found["next_cursor"],
        prefix=prefix,
        plans=[(plan["id"], plan["name"]) for plan in plans],
        billings=BILLINGS,
        problem=problem,
        typed=typed or {"id": "", "plan": "starter", "billing": "monthly"},
        may_change=visit.person.role in PLATFORM,
        key=new_key(),
    )
