"""Where alerts are delivered, what became of each delivery, and another try."""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import in_path, needed, new_key, text
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMINS
from console.visit import Visit

HERE = "/admin/webhooks"
API = "/api/v1/webhooks"
STATUSES = (("", "All"), ("delivered", "Delivered"), ("pending", "On the way"), ("failed", "Failed"))
NEW: dict[str, Any] = {"id": "", "url": "", "types": None, "description": "", "enabled": True}
ABSENT = 404

pages = Pages()


@pages.get(HERE, ADMINS)
async def webhooks(visit: Visit) -> Response:
    """All of the organisation."""
    found = await visit.api.get(API, limit=200)
    return visit.render("admin/webhooks.html", webhooks=found["items"])


@pages.get("/admin/parts/new-webhook", ADMINS)
async def new_webhook(visit: Visit) -> Response:
    """The form for another one."""
    return await _form(visit, NEW)


@pages.post(HERE, ADMINS)
async def create(visit: Visit) -> Response:
    """Make one; its secret is shown in the answer and nowhere else."""
    form = await visit.form()
    try:
        body = _wanted(form)
        made = await visit.api.post(API, {name: value for name, value in body.items() if value}, key=text(form, "key"))
    except ApiProblem as problem:
        return await _form(visit, NEW | _typed(form), problem)
    return visit.render("admin/webhook_made_part.html", made=made)


@pages.get(HERE + "/{id}", ADMINS)
async def deliveries(visit: Visit) -> Response:
    """The delivery log of one, newest first."""
    return visit.render("admin/webhook.html", **await _log(visit), statuses=STATUSES)


@pages.get(HERE + "/{id}/log", ADMINS)
async def log(visit: Visit) -> Response:
    """The log alone, for a look every few seconds."""
    return visit.render("admin/webhook_log_part.html", **await _log(visit))


@pages.get(HERE + "/{id}/edit", ADMINS)
async def edit(visit: Visit) -> Response:
    """The form for this one."""
    return await _form(visit, await _webhook(visit))


@pages.post(HERE + "/{id}/edit", ADMINS)
async def change(visit: Visit) -> Response:
    """Another URL, other types, on or off."""
    form = await visit.form()
    try:
        await visit.api.patch(_of(visit), _wanted(form) | {"enabled": bool(form.get("enabled"))})
    except ApiProblem as problem:
        return await _form(visit, await _webhook(visit) | _typed(form), problem)
    return visit.redirect(f"{HERE}/{in_path(visit.path['id'])}", "The webhook is changed.")


@pages.post(HERE + "/{id}/resend", ADMINS)
async def resend(visit: Visit) -> Response:
    """Deliver an alert once more."""
    form, here = await visit.form(), f"{HERE}/{in_path(visit.path['id'])}"
    body = {"delivery_id": text(form, "delivery_id")}
    try:
        await visit.api.post(f"{_of(visit)}/resend", body, key=text(form, "key") or None)
    except ApiProblem as problem:
        return visit.refused(here, problem)
    return visit.redirect(here, "It is on its way once more.")


@pages.post(HERE + "/{id}/delete", ADMINS)
async def delete(visit: Visit) -> Response:
    """Forget it, and its deliveries."""
    await visit.api.delete(_of(visit))
    return visit.redirect(HERE, "The webhook is deleted.")


def _of(visit: Visit) -> str:
    return f"{API}/{in_path(visit.path['id'])}"


async def _webhook(visit: Visit) -> dict[str, Any]:
    """Raises ApiProblem (404)."""
    items: list[dict[str, Any]] = (await visit.api.get(API, limit=200))["items"]
    for webhook in items:
        if webhook["id"] == visit.path["id"]:
            return webhook
    raise ApiProblem(ABSENT, {"code": "not_found", "detail": "There is no such webhook."})


async def _log(visit: Visit) -> dict[str, Any]:
    status = visit.query.get("status", "")
    page = await visit.api.get(f"{_of(visit)}/deliveries", status=status, cursor=visit.query.get("cursor"))
    return {
        "webhook": await _webhook(visit),
        "deliveries": page["items"],
        "cursor": page["next_cursor"],
        "status": status,
        "new_key": new_key,
    }


def _typed(form: FormData) -> dict[str, Any]:
    return {
        "url": text(form, "url"),
        "description": text(form, "description"),
        "types": [str(type_) for type_ in form.getlist("types")] or None,
    }


def _wanted(form: FormData) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    typed = _typed(form)
    needed(typed["url"], "url", "The URL")
    return {name: value for name, value in typed.items() if name != "description" or value}


async def _form(visit: Visit, webhook: dict[str, Any], problem: ApiProblem | None = None) -> Response:
    rules = (await visit.api.get("/api/v1/alert-rules"))["rules"]
    types = list(dict.fromkeys(rule["type"] for rule in rules.values()))
    status = problem.status if problem else 200
    return visit.render(
        "admin/webhook_form_part.html", status, webhook=webhook, types=types, problem=problem, key=new_key()
    )
