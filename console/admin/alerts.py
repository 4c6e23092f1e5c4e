"""What the organisation was alerted of, and the rules by which it is."""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import text, whole
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMINS
from console.visit import Visit

HERE = "/admin/alerts"
ALERTS = "/api/v1/alerts"
RULES = "/api/v1/alert-rules"
FILTERS = ("severity", "rule", "user_id")
SEVERITIES = (("", "All"), ("critical", "Critical"), ("warning", "Warning"), ("info", "Info"))

pages = Pages()


@pages.get(HERE, ADMINS)
async def alerts(visit: Visit) -> Response:
    """The alerts, newest first."""
    rules = await visit.api.get(RULES)
    return visit.render("admin/alerts.html", **await _raised(visit), rules=_choices(rules), severities=SEVERITIES)


@pages.get("/admin/parts/alerts", ADMINS)
async def alerts_part(visit: Visit) -> Response:
    """The list again, whenever the ledger has news."""
    return visit.render("admin/alerts_part.html", **await _raised(visit))


@pages.get(HERE + "/rules", ADMINS)
async def rules(visit: Visit) -> Response:
    """All rules with their thresholds."""
    answer = await visit.api.file(RULES)
    return _rules_page(visit, answer.json()["rules"], answer.headers.get("ETag", ""))


@pages.post(HERE + "/rules", ADMINS)
async def save(visit: Visit) -> Response:
    """Set all rules; not over somebody else's change meanwhile."""
    form = await visit.form()
    found = (await visit.api.get(RULES))["rules"]
    try:
        await visit.api.put(RULES, {"rules": _wanted(form, found)}, etag=text(form, "etag") or None)
    except ApiProblem as problem:
        for name, rule in found.items():
            rule["enabled"] = bool(form.get(name))
            rule["thresholds"] = {key: text(form, f"{name}.{key}") for key in rule["thresholds"]}
        return _rules_page(visit, found, text(form, "etag"), problem)
    return visit.redirect(f"{HERE}/rules", "The rules are saved. They count from the next movement on.")


def _wanted(form: FormData, found: dict[str, Any]) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    wanted: dict[str, Any] = {}
    for name, rule in found.items():
        given = {key: whole(form, f"{name}.{key}", f"{rule['about']} {key}") for key in rule["thresholds"]}
        # An empty field is the default.
        thresholds = {key: rule["defaults"][key] if value is None else value for key, value in given.items()}
        wanted[name] = {"enabled": bool(form.get(name)), **thresholds}
    return wanted


async def _raised(visit: Visit) -> dict[str, Any]:
    filters = {name: visit.query.get(name, "").strip() for name in FILTERS}
    page = await visit.api.get(ALERTS, **filters, cursor=visit.query.get("cursor"), limit=50)
    return {"alerts": page["items"], "cursor": page["next_cursor"], "filters": filters}


def _choices(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [("", "All"), *((name, name.replace("_", " ").capitalize()) for name in answer["rules"])]


def _rules_page(visit: Visit, found: dict[str, Any], etag: str, problem: ApiProblem | None = None) -> Response:
    status = problem.status if problem else 200
    return visit.render("admin/alert_rules.html", status, rules=found, etag=etag, problem=problem)
