"""Who is in a group: many added at once after a look at them, one or many removed."""

from typing import Any

from starlette.responses import Response

from console.admin.form_values import in_path, pasted, text, wrong
from console.admin.named_users import MOST, USERS, looked_up, names_in
from console.admin.visible import visible
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMINS
from console.visit import Visit

PATH = "/admin/groups/{id}/members"
MEMBERS = "/api/group-members"
PAGE = 200
PAGES_AT_MOST = 25
PICKS = 60

pages = Pages()


@pages.get(PATH, ADMINS)
async def members(visit: Visit) -> Response:
    """The members, and the form to add some."""
    return await _panel(visit)


@pages.get(PATH + "/picks", ADMINS)
async def picks(visit: Visit) -> Response:
    """Users of the organisation to pick from, by the beginning of their id."""
    inside = set(await members_of(visit))
    found = await _picks(visit, visit.query.get("prefix", ""), inside)
    return visit.render("admin/member_picks_part.html", picks=found)


@pages.post(PATH + "/preview", ADMINS)
async def preview(visit: Visit) -> Response:
    """What would be added, before it is: who is known, new, named twice, in it already, or no id at all."""
    form = await visit.form()
    group = await visit.api.get(_group(visit))
    try:
        names = [str(name) for name in form.getlist("pick")] + names_in(await pasted(form, "names", "file"))
        if not names:
            raise wrong("names", "Pick users, paste their ids or choose a file first.")
        if len(set(names)) > MOST:
            raise wrong("names", f"These are more than {MOST:,} users. Add them in several parts.")
        named = await looked_up(visit, names, set(await members_of(visit)))
    except ApiProblem as problem:
        return await _panel(visit, problem, typed=text(form, "names"))
    return visit.render("admin/member_preview_part.html", group=group, named=named)


@pages.post(PATH, ADMINS)
async def add(visit: Visit) -> Response:
    """Add those that were looked at."""
    form = await visit.form()
    return await _done(visit, MEMBERS, text(form, "user_ids").split(), text(form, "key"), "added")


@pages.post(PATH + "/remove", ADMINS)
async def remove(visit: Visit) -> Response:
    """Ask, then remove those that were chosen."""
    form = await visit.form()
    chosen = [str(name) for name in form.getlist("member")]
    if not chosen:
        return await _panel(visit, wrong("member", "Choose the members to remove first."))
    if not text(form, "sure"):
        group = await visit.api.get(_group(visit))
        return visit.render("admin/member_remove_part.html", group=group, chosen=chosen)
    return await _done(visit, f"{MEMBERS}/remove", chosen, text(form, "key"), "removed")


async def members_of(visit: Visit) -> list[str]:
    """All members, read page by page."""
    found: list[str] = []
    cursor = None
    for _ in range(PAGES_AT_MOST):
        page = await visit.api.get(f"{_group(visit)}/members", limit=PAGE, cursor=cursor)
        found += [row["user_id"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found


async def _done(visit: Visit, path: str, users: list[str], key: str, what: str) -> Response:
    group = _group(visit)
    try:
        answer = await visit.api.post(path, {"group_id": visit.path["id"], "user_ids": users}, key=key or None)
    except ApiProblem as problem:
        return await _panel(visit, problem)
    await visible(visit, f"{group}/members", answer)
    changed = [result["user_id"] for result in answer["results"] if result["status"] == what]
    return await _panel(visit, changed=changed, what=what)


async def _panel(visit: Visit, problem: ApiProblem | None = None, **shown: Any) -> Response:
    group, inside = await visit.api.get(_group(visit)), await members_of(visit)
    values = {"typed": "", "changed": [], "what": "", **shown}
    found = await _picks(visit, "", set(inside))
    status = problem.status if problem else 200
    return visit.render(
        "admin/members_part.html", status, group=group, members=inside, picks=found, problem=problem, **values
    )


async def _picks(visit: Visit, prefix: str, inside: set[str]) -> list[str]:
    """Users who are not in the group yet; none where the beginning of an id can be nobody's."""
    try:
        page = await visit.api.get(USERS, prefix=prefix, limit=PAGE)
    except ApiProblem:
        return []
    return [row["user_id"] for row in page["items"] if row["user_id"] not in inside][:PICKS]


def _group(visit: Visit) -> str:
    return f"/api/groups/{in_path(visit.path['id'])}"
