"""Tokens: the groups with their limits and what is left of them, and making, changing and deleting one (S1)."""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import in_path, needed, settings, text, typed_settings, whole
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMINS
from console.visit import Values, Visit

GROUPS = "/api/groups"
HERE = "/admin/groups"
PERIODS = (
    ("total", "Never"),
    ("day", "Every day"),
    ("week", "Every week"),
    ("month", "Every month"),
)
LIMITS = (("image_limit", "Image limit"), ("video_limit", "Video limit"))
NEW = {"id": "", "name": "", "description": "", "image_limit": None, "video_limit": None, "period": "total"}

pages = Pages()


@pages.get(HERE, ADMINS, template="admin/groups.html")
@pages.get("/admin/parts/groups", ADMINS, template="admin/groups_part.html")
async def groups(visit: Visit) -> Values:
    """All groups, the one closest to its limit first; the cards alone follow the ledger."""
    cursor = visit.query.get("cursor")
    found = await visit.api.get(GROUPS, sort="closest", limit=60, cursor=cursor)
    return {"groups": found["items"], "cursor": found["next_cursor"], "here": cursor}


@pages.get("/admin/parts/new-group", ADMINS)
async def new_group(visit: Visit) -> Response:
    """The form for another group."""
    return await _form(visit, NEW)


@pages.post(HERE, ADMINS)
async def create(visit: Visit) -> Response:
    """A new group; its page comes next, where members are added."""
    form, declared = await visit.form(), await visit.api.settings("group")
    try:
        answer = await visit.api.post(GROUPS, _wanted(form, declared), key=text(form, "key"))
    except ApiProblem as problem:
        return await _form(visit, NEW | _typed(form, declared), problem)
    await visit.until_visible(GROUPS, answer)
    return visit.redirect(f"{HERE}/{in_path(answer['id'])}", f"{answer['name']} is created. Now add its members.")


@pages.get(HERE + "/{id}/edit", ADMINS)
async def edit_group(visit: Visit) -> Response:
    """The form for this group."""
    answer = await visit.api.file(_of(visit))
    return await _form(visit, answer.json(), etag=answer.headers.get("ETag", ""))


@pages.post(HERE + "/{id}/edit", ADMINS)
async def change(visit: Visit) -> Response:
    """Other limits, another name; nobody overwrites what somebody else has changed meanwhile."""
    form, declared = await visit.form(), await visit.api.settings("group")
    etag = text(form, "etag")
    try:
        answer = await visit.api.patch(_of(visit), _wanted(form, declared), etag=etag)
    except ApiProblem as problem:
        return await _form(visit, await visit.api.get(_of(visit)) | _typed(form, declared), problem, etag=etag)
    await visit.until_visible(GROUPS, answer)
    return visit.redirect(text(form, "back") or HERE, f"{answer['name']} is changed.")


@pages.post(HERE + "/{id}/preview", ADMINS)
async def preview(visit: Visit) -> Response:
    """What the limits in the form would mean at this moment: who is refused."""
    form = await visit.form()
    try:
        limits = {name: whole(form, name, label) for name, label in LIMITS}
        was = await visit.api.get(_of(visit))
        would = await visit.api.post(f"{_of(visit)}/preview", limits | {"period": text(form, "period") or "total"})
    except ApiProblem as problem:
        return visit.render("admin/group_preview_part.html", problem=problem, would=None, was=None)
    return visit.render("admin/group_preview_part.html", problem=None, would=would, was=was)


@pages.get(HERE + "/{id}/delete", ADMINS)
async def ask_delete(visit: Visit) -> Response:
    """What deleting it means."""
    return visit.render("admin/group_delete_part.html", group=await visit.api.get(_of(visit)), problem=None)


@pages.post(HERE + "/{id}/delete", ADMINS)
async def delete(visit: Visit) -> Response:
    """Delete it; its members are free of its limits."""
    group = await visit.api.get(_of(visit))
    await visit.until_visible(GROUPS, await visit.api.delete(_of(visit)))
    return visit.redirect(HERE, f"{group['name']} is deleted. Its limits no longer apply to its members.")


def _of(visit: Visit) -> str:
    return f"{GROUPS}/{in_path(visit.path['id'])}"


def _typed(form: FormData, declared: list[Any]) -> dict[str, Any]:
    """What stands in the form, to be shown again as it was typed."""
    names = ("name", "description", "image_limit", "video_limit", "period")
    return {name: text(form, name) for name in names} | typed_settings(form, declared)


def _wanted(form: FormData, declared: list[Any]) -> dict[str, Any]:
    """The form as the API takes it. Raises ApiProblem (422)."""
    return {
        "name": needed(text(form, "name"), "name", "The name"),
        "description": text(form, "description"),
        **{name: whole(form, name, label) for name, label in LIMITS},
        "period": text(form, "period") or "total",
        **settings(form, declared),
    }


async def _form(visit: Visit, group: dict[str, Any], problem: ApiProblem | None = None, *, etag: str = "") -> Response:
    return visit.render(
        "admin/group_form_part.html",
        group=group,
        problem=problem,
        etag=etag,
        periods=PERIODS,
        declared=await visit.api.settings("group"),
        back=visit.query.get("back", HERE),
    )
