"""The plans that organisations can be on, and what features cost of their tokens."""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import in_path, money, needed, settings, text, typed_settings, whole, whole_of, wrong
from console.api import ApiProblem
from console.pages import Pages
from console.person import PLATFORM, PLATFORM_READERS
from console.visit import Visit

HERE = "/admin/plans"
API = "/api/v1/plans"
FEATURES = "/api/v1/features"
MB = 1_048_576
NEW: dict[str, Any] = {
    "id": "",
    "version": None,
    "name": "",
    "tokens": {},
    "credits": 0,
    "storage_limit": None,
    "price": None,
    "annual_percent_off": 0,
}

pages = Pages()


@pages.get(HERE, PLATFORM_READERS)
async def plans(visit: Visit) -> Response:
    """All plans side by side, and the features."""
    return await _page(visit)


@pages.get("/admin/parts/plan", PLATFORM)
async def plan_form(visit: Visit) -> Response:
    """The terms of one, or of a new one, to be changed."""
    wanted = visit.query.get("id", "")
    found = next((plan for plan in (await visit.api.get(API))["items"] if plan["id"] == wanted), NEW)
    return await _form(visit, found)


@pages.post(HERE, PLATFORM)
async def publish(visit: Visit) -> Response:
    """A plan's new terms; organisations keep those that they chose until they choose again."""
    form, declared = await visit.form(), await visit.api.settings("plan")
    id_, version = text(form, "id"), text(form, "version")
    try:
        needed(id_, "id", "The id")
        terms = _terms(form) | settings(form, declared)
        await visit.api.put(f"{API}/{in_path(id_)}", terms, etag=f'"{version}"' if version else None)
    except ApiProblem as problem:
        return await _form(visit, _typed(form) | typed_settings(form, declared), problem)
    return visit.redirect(HERE, f"The plan {text(form, 'name')} is published.")


@pages.post(HERE + "/features", PLATFORM)
async def publish_features(visit: Visit) -> Response:
    """What each use costs, all at once. Percentages by complexity and bulk steps stay as they are."""
    form = await visit.form()
    try:
        now = await visit.api.get(FEATURES)
        await visit.api.put(FEATURES, _features(form, now), etag=f'"{text(form, "version")}"')
    except ApiProblem as problem:
        return await _page(visit, problem)
    return visit.redirect(HERE, "The features and their costs are published.")


def _terms(form: FormData) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    price, storage = money(form, "price"), whole(form, "storage_mb", "Storage")
    return {
        "name": needed(text(form, "name"), "name", "The name"),
        "tokens": _amounts(form),
        "credits": whole(form, "credits", "Credits") or 0,
        "storage_limit": storage * MB if storage is not None else None,
        "price": {"amount": price} if price else None,
        "annual_percent_off": whole(form, "annual_percent_off", "Percent off") or 0,
    }


def _amounts(form: FormData) -> dict[str, int]:
    types, amounts = form.getlist("type"), form.getlist("amount")
    return {
        str(type_).strip(): whole_of(str(amount).strip(), "amount", str(type_)) or 0
        for type_, amount in zip(types, amounts, strict=False)
        if str(type_).strip()
    }


def _typed(form: FormData) -> dict[str, Any]:
    """What stands in the form, amounts as they were typed."""
    price, storage = money(form, "price"), text(form, "storage_mb")
    return {
        "id": text(form, "id"),
        "version": text(form, "version") or None,
        "name": text(form, "name"),
        "tokens": dict(zip(map(str, form.getlist("type")), map(str, form.getlist("amount")), strict=False)),
        "credits": text(form, "credits"),
        "storage_limit": int(storage) * MB if storage.isdigit() else None,
        "price": {"amount": price, "currency": "USD"} if price else None,
        "annual_percent_off": text(form, "annual_percent_off"),
    }


def _features(form: FormData, now: dict[str, Any]) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    known = {feature["name"]: feature for feature in now["features"]}
    rows = zip(form.getlist("name"), form.getlist("token_type"), form.getlist("cost"), strict=False)
    features = []
    for name, type_, cost in ((str(a).strip(), str(b).strip(), str(c).strip()) for a, b, c in rows):
        if not name and not type_:
            continue
        amount = whole_of(cost, "cost", name)
        if amount is None:
            raise wrong("cost", f"Say what {name or type_} costs.")
        kept = known.get(name, {"complexity": {}, "bulk": []})
        features.append(kept | {"name": name, "token_type": type_, "cost": amount})
    costs = {**now["token_costs"], **{each["token_type"]: each["cost"] for each in features}}
    return {"features": features, "token_costs": costs}


async def _page(visit: Visit, problem: ApiProblem | None = None) -> Response:
    found, features = await visit.api.together(API, FEATURES)
    types = sorted({type_ for plan in found["items"] for type_ in plan["tokens"]})
    return visit.render(
        "admin/plans.html",
        plans=found["items"],
        types=types,
        declared=await visit.api.settings("plan"),
        features=features,
        problem=problem,
        may_change=visit.person.role in PLATFORM,
    )


async def _form(visit: Visit, plan: dict[str, Any], problem: ApiProblem | None = None) -> Response:
    costs, declared = (await visit.api.get(FEATURES))["token_costs"], await visit.api.settings("plan")
    types = list(dict.fromkeys([*plan["tokens"], *costs]))
    return visit.render("admin/plan_form_part.html", plan=plan, types=types, declared=declared, problem=problem, mb=MB)
