"""Quotas inside an organisation: plan tokens for teams, storage and money for users."""

from typing import Any

from starlette.responses import Response

from console.admin.form_values import in_path, money, text, whole, whole_of, wrong
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMINS
from console.visit import Visit

HERE = "/admin/quotas"
MB = 1_048_576

pages = Pages()


@pages.get(HERE, ADMINS)
async def quotas(visit: Visit) -> Response:
    """Teams on one side, users by the beginning of their id on the other."""
    prefix = visit.query.get("prefix", "").strip()
    groups = (await visit.api.get("/api/groups", sort="closest", limit=200))["items"]
    users = await visit.api.get("/api/v1/users", prefix=prefix, limit=50, cursor=visit.query.get("cursor"))
    return visit.render(
        "admin/quotas.html", groups=groups, users=users["items"], cursor=users["next_cursor"], prefix=prefix
    )


@pages.get(HERE + "/groups/{id}", ADMINS)
async def group_form(visit: Visit) -> Response:
    """What a team may use of each type of plan tokens."""
    return await _group(visit)


@pages.post(HERE + "/groups/{id}", ADMINS)
async def save_group(visit: Visit) -> Response:
    """Set a team's quotas; an empty one is unlimited."""
    form = await visit.form()
    rows = list(zip(map(str, form.getlist("type")), map(str, form.getlist("limit")), strict=False))
    try:
        limits = {type_.strip(): whole_of(limit.strip(), "limit", type_) for type_, limit in rows if type_.strip()}
        if not limits:
            raise wrong("type", "Name a type of tokens first.")
        path, etag = f"/api/groups/{in_path(visit.path['id'])}", text(form, "etag")
        answer = await visit.api.patch(path, {"token_quotas": limits}, etag=etag)
    except ApiProblem as problem:
        return await _group(visit, problem, dict(rows), text(form, "etag"))
    await visit.until_visible("/api/groups", answer)
    return visit.redirect(HERE, f"The quotas of {answer['name']} are set.")


@pages.get(HERE + "/users/{id}", ADMINS)
async def user_form(visit: Visit) -> Response:
    """A user's storage and money."""
    return await _user(visit)


@pages.post(HERE + "/users/{id}", ADMINS)
async def save_user(visit: Visit) -> Response:
    """Set what was changed in the form, and nothing else: what is as by default stays so."""
    form, user = await visit.form(), visit.path["id"]
    path = f"/api/v1/users/{in_path(user)}"
    try:
        storage = whole(form, "storage_mb", "Storage")
        if text(form, "storage_mb") != text(form, "storage_was"):
            await visit.api.put(f"{path}/storage-limit", {"bytes": None if storage is None else storage * MB})
        given: dict[str, Any] = {"monthly_budget": money(form, "budget"), "ceiling": money(form, "ceiling")}
        was = {"monthly_budget": money(form, "budget_was"), "ceiling": money(form, "ceiling_was")}
        changed = {name: value for name, value in given.items() if value != was[name]}
        if changed.get("monthly_budget", "") is None:
            raise wrong("budget", "The monthly budget is missing.")
        if changed:
            await visit.api.put(f"{path}/budget", changed)
    except ApiProblem as problem:
        return await _user(visit, problem)
    return visit.redirect(f"{HERE}?prefix={in_path(text(form, 'prefix'))}", f"The quotas of {user} are set.")


async def _group(
    visit: Visit, problem: ApiProblem | None = None, typed: dict[str, str] | None = None, etag: str = ""
) -> Response:
    answer = await visit.api.file(f"/api/groups/{in_path(visit.path['id'])}")
    group = answer.json()
    costs = (await visit.api.get("/api/v1/features"))["token_costs"]
    types = list(dict.fromkeys([*costs, *group["token_quotas"], *group["token_usage"]]))
    return visit.render(
        "admin/quota_group_part.html",
        group=group,
        types=types,
        limits=typed or group["token_quotas"],
        etag=etag or answer.headers.get("ETag", ""),
        problem=problem,
    )


async def _user(visit: Visit, problem: ApiProblem | None = None) -> Response:
    user = await visit.api.get(f"/api/v1/users/{in_path(visit.path['id'])}")
    prefix = visit.query.get("prefix", "")
    return visit.render("admin/quota_user_part.html", user=user, problem=problem, mb=MB, prefix=prefix)
