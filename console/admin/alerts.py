"""Alerts of the organisation, the rules that raise them, and the webhooks that deliver them."""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import in_path, needed, text, whole
from console.api import ABSENT, ApiProblem
from console.pages import Pages
from console.person import ADMINS
from console.visit import Values, Visit

ALERTS_PAGE = "/admin/alerts"
ALERTS = "/api/v1/alerts"
RULES = "/api/v1/alert-rules"
FILTERS = ("severity", "rule", "user_id")
SEVERITIES = (("", "All"), ("critical", "Critical"), ("warning", "Warning"), ("info", "Info"))
WEBHOOKS_PAGE = "/admin/webhooks"
WEBHOOKS = "/api/v1/webhooks"
DELIVERY_STATUSES = (("", "All"), ("delivered", "Delivered"), ("pending", "On the way"), ("failed", "Failed"))
NEW_WEBHOOK: dict[str, Any] = {"id": "", "url": "", "types": None, "description": "", "enabled": True}

pages = Pages()


@pages.get(ALERTS_PAGE, ADMINS, template="admin/alerts.html")
@pages.get("/admin/parts/alerts", ADMINS, template="admin/alerts_part.html")
async def alerts(visit: Visit) -> Values:
    """The alerts, newest first; the list alone follows the ledger."""
    filters = {name: visit.query.get(name, "").strip() for name in FILTERS}
    found = await visit.api.get(ALERTS, **filters, cursor=visit.query.get("cursor"), limit=50)
    names = (await visit.api.get(RULES))["rules"]
    return {
        "alerts": found["items"],
        "cursor": found["next_cursor"],
        "filters": filters,
        "rules": [("", "All"), *((name, name.replace("_", " ").capitalize()) for name in names)],
        "severities": SEVERITIES,
    }


@pages.get(ALERTS_PAGE + "/rules", ADMINS)
async def rules(visit: Visit) -> Response:
    """All rules with their thresholds."""
    answer = await visit.api.file(RULES)
    return _rules_page(visit, answer.json()["rules"], answer.headers.get("ETag", ""))


@pages.post(ALERTS_PAGE + "/rules", ADMINS)
async def save_rules(visit: Visit) -> Response:
    """Set all rules; not over somebody else's change meanwhile."""
    form = await visit.form()
    found = (await visit.api.get(RULES))["rules"]
    try:
        await visit.api.put(RULES, {"rules": _wanted_rules(form, found)}, etag=text(form, "etag"))
    except ApiProblem as problem:
        for name, rule in found.items():
            rule["enabled"] = bool(form.get(name))
            rule["thresholds"] = {key: text(form, f"{name}.{key}") for key in rule["thresholds"]}
        return _rules_page(visit, found, text(form, "etag"), problem)
    return visit.redirect(f"{ALERTS_PAGE}/rules", "The rules are saved. They apply from the next movement.")


def _wanted_rules(form: FormData, found: dict[str, Any]) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    wanted: dict[str, Any] = {}
    for name, rule in found.items():
        given = {key: whole(form, f"{name}.{key}", f"{rule['about']} {key}") for key in rule["thresholds"]}
        # An empty field is the default.
        thresholds = {key: rule["defaults"][key] if value is None else value for key, value in given.items()}
        wanted[name] = {"enabled": bool(form.get(name)), **thresholds}
    return wanted


def _rules_page(visit: Visit, found: dict[str, Any], etag: str, problem: ApiProblem | None = None) -> Response:
    return visit.render("admin/alert_rules.html", rules=found, etag=etag, problem=problem)


@pages.get(WEBHOOKS_PAGE, ADMINS)
async def webhooks(visit: Visit) -> Response:
    """All of the organisation."""
    found = await visit.api.get(WEBHOOKS, limit=200)
    return visit.render("admin/webhooks.html", webhooks=found["items"])


@pages.get("/admin/parts/new-webhook", ADMINS)
async def new_webhook(visit: Visit) -> Response:
    """The form for another one."""
    return await _webhook_form(visit, NEW_WEBHOOK)


@pages.post(WEBHOOKS_PAGE, ADMINS)
async def create_webhook(visit: Visit) -> Response:
    """Make one; its secret is shown in the answer and nowhere else."""
    form = await visit.form()
    try:
        body = _wanted_webhook(form)
        given = {name: value for name, value in body.items() if value}
        made = await visit.api.post(WEBHOOKS, given, key=text(form, "key"))
    except ApiProblem as problem:
        return await _webhook_form(visit, NEW_WEBHOOK | _typed(form), problem)
    return visit.render("admin/webhook_made_part.html", made=made)


@pages.get(WEBHOOKS_PAGE + "/{id}", ADMINS, template="admin/webhook.html")
@pages.get(WEBHOOKS_PAGE + "/{id}/log", ADMINS, template="admin/webhook_log_part.html")
async def deliveries(visit: Visit) -> Values:
    """The deliveries of one webhook, newest first; the page reloads the log alone every few seconds."""
    status = visit.query.get("status", "")
    found = await visit.api.get(f"{_of(visit)}/deliveries", status=status, cursor=visit.query.get("cursor"))
    return {
        "webhook": await _webhook(visit),
        "deliveries": found["items"],
        "cursor": found["next_cursor"],
        "status": status,
        "statuses": DELIVERY_STATUSES,
    }


@pages.get(WEBHOOKS_PAGE + "/{id}/edit", ADMINS)
async def edit_webhook(visit: Visit) -> Response:
    """The form for this one."""
    return await _webhook_form(visit, await _webhook(visit))


@pages.post(WEBHOOKS_PAGE + "/{id}/edit", ADMINS)
async def change_webhook(visit: Visit) -> Response:
    """Another URL, other types, on or off."""
    form = await visit.form()
    try:
        await visit.api.patch(_of(visit), _wanted_webhook(form) | {"enabled": bool(form.get("enabled"))})
    except ApiProblem as problem:
        return await _webhook_form(visit, await _webhook(visit) | _typed(form), problem)
    return visit.redirect(f"{WEBHOOKS_PAGE}/{in_path(visit.path['id'])}", "The webhook is changed.")


@pages.post(WEBHOOKS_PAGE + "/{id}/resend", ADMINS, back=WEBHOOKS_PAGE + "/{id}")
async def resend(visit: Visit) -> Response:
    """Deliver an alert once more."""
    form = await visit.form()
    await visit.api.post(f"{_of(visit)}/resend", {"delivery_id": text(form, "delivery_id")}, key=text(form, "key"))
    return visit.redirect(f"{WEBHOOKS_PAGE}/{in_path(visit.path['id'])}", "The alert is being delivered again.")


@pages.post(WEBHOOKS_PAGE + "/{id}/delete", ADMINS)
async def delete_webhook(visit: Visit) -> Response:
    """Forget it, and its deliveries."""
    await visit.api.delete(_of(visit))
    return visit.redirect(WEBHOOKS_PAGE, "The webhook is deleted.")


def _of(visit: Visit) -> str:
    return f"{WEBHOOKS}/{in_path(visit.path['id'])}"


async def _webhook(visit: Visit) -> dict[str, Any]:
    """Raises ApiProblem (404)."""
    items: list[dict[str, Any]] = (await visit.api.get(WEBHOOKS, limit=200))["items"]
    for webhook in items:
        if webhook["id"] == visit.path["id"]:
            return webhook
    raise ApiProblem(ABSENT, {"code": "not_found", "detail": "There is no such webhook."})


def _typed(form: FormData) -> dict[str, Any]:
    return {
        "url": text(form, "url"),
        "description": text(form, "description"),
        "types": [str(type_) for type_ in form.getlist("types")] or None,
    }


def _wanted_webhook(form: FormData) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    typed = _typed(form)
    needed(typed["url"], "url", "The URL")
    return {name: value for name, value in typed.items() if name != "description" or value}


async def _webhook_form(visit: Visit, webhook: dict[str, Any], problem: ApiProblem | None = None) -> Response:
    rules = (await visit.api.get("/api/v1/alert-rules"))["rules"]
    types = list(dict.fromkeys(rule["type"] for rule in rules.values()))
    return visit.render("admin/webhook_form_part.html", webhook=webhook, types=types, problem=problem)
