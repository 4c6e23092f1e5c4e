"""Tries a group out: counts an image or a video of a member, and shows whether it was allowed."""

from typing import Any

from starlette.responses import Response

from console.admin.form_values import in_path, new_key, text
from console.admin.members import members_of
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMINS
from console.visit import Visit

PATH = "/admin/groups/{id}/trial"

pages = Pages()


@pages.get(PATH, ADMINS)
async def trial(visit: Visit) -> Response:
    """Whom and what to count."""
    return await _panel(visit)


@pages.post(PATH, ADMINS)
async def count_one(visit: Visit) -> Response:
    """Count one; it is as real as every other, and says so."""
    form = await visit.form()
    user, type_ = text(form, "user_id"), text(form, "type")
    body = {"user_id": user, "type": type_}
    try:
        answer = await visit.api.post("/api/track-generation", body, key=text(form, "key") or None)
    except ApiProblem as problem:
        return await _panel(visit, problem=problem, user=user)
    # The group that refused may be another one of the user's.
    decided = await visit.api.get_or_none(f"/api/groups/{in_path(answer['group_id'])}") if answer["group_id"] else None
    return await _panel(visit, answer=answer, decided=decided, user=user, type_=type_)


async def _panel(visit: Visit, **shown: Any) -> Response:
    values = {"problem": None, "answer": None, "decided": None, "user": "", "type_": "", **shown}
    group = await visit.api.get(f"/api/groups/{in_path(visit.path['id'])}")
    members = await members_of(visit)
    status = values["problem"].status if values["problem"] else 200
    return visit.render("admin/group_trial_part.html", status, group=group, members=members, key=new_key(), **values)
