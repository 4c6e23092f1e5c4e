"""The API keys of the organisation's programs: made, shown once, and ended."""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import in_path, instant, needed, new_key, text
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMIN, ADMINS
from console.visit import Visit

HERE = "/admin/api-keys"
API = "/api/v1/api-keys"
ROLES = (
    ("worker", "Worker: asks, starts and settles generations for any user"),
    ("auditor", "Auditor: reads everything, changes nothing"),
    ("org_admin", "Admin of the organisation: may do everything in it"),
)
PLATFORM_ROLE = ("admin", "Admin of the platform: may do everything everywhere")

pages = Pages()


@pages.get(HERE, ADMINS)
async def api_keys(visit: Visit) -> Response:
    """All keys, those that were ended too."""
    found = await visit.api.get(API, cursor=visit.query.get("cursor"), limit=100)
    return visit.render("admin/api_keys.html", keys=found["items"], cursor=found["next_cursor"])


@pages.get("/admin/parts/new-api-key", ADMINS)
async def new_api_key(visit: Visit) -> Response:
    """The form for another one."""
    return _form(visit, {"name": "", "role": "worker", "scopes": ""})


@pages.post(HERE, ADMINS)
async def create(visit: Visit) -> Response:
    """Make one; it is shown in the answer and nowhere else."""
    form = await visit.form()
    try:
        made = await visit.api.post(API, _wanted(form), key=text(form, "key") or None)
    except ApiProblem as problem:
        return _form(visit, {name: text(form, name) for name in ("name", "role", "scopes")}, problem)
    return visit.render("admin/api_key_made_part.html", made=made)


@pages.post(HERE + "/{id}/revoke", ADMINS)
async def revoke(visit: Visit) -> Response:
    """End it at once."""
    await visit.api.delete(f"{API}/{in_path(visit.path['id'])}")
    return visit.redirect(HERE, "The key has ended. Requests with it are refused.")


def _wanted(form: FormData) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    scopes = text(form, "scopes").replace(",", " ").split()
    body: dict[str, Any] = {
        "name": needed(text(form, "name"), "name", "The name"),
        "role": text(form, "role"),
        "scopes": scopes or None,
        "expires_at": instant(form, "expires", "Expires"),
    }
    return {name: value for name, value in body.items() if value is not None}


def _form(visit: Visit, typed: dict[str, str], problem: ApiProblem | None = None) -> Response:
    roles = [*ROLES, PLATFORM_ROLE] if visit.person.role == ADMIN else ROLES
    status = problem.status if problem else 200
    values = {"typed": typed, "problem": problem, "roles": roles, "key": new_key()}
    return visit.render("admin/api_key_form_part.html", status, **values)
