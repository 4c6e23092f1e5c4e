"""What can be bought: all packages, published together."""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import text, whole_of, wrong
from console.api import ApiProblem
from console.pages import Pages
from console.person import PLATFORM
from console.visit import Visit

HERE = "/admin/packages"
API = "/api/v1/packages"
COLUMNS = ("id", "name", "unit", "amount", "price", "days")

pages = Pages()


@pages.get(HERE, PLATFORM)
async def packages(visit: Visit) -> Response:
    """The packages as a table that can be edited."""
    found = await visit.api.get(API)
    return await _page(visit, found["version"], [_row(item) for item in found["items"]])


@pages.post(HERE, PLATFORM)
async def publish(visit: Visit) -> Response:
    """All packages of the table from now on; not over somebody else's list meanwhile."""
    form = await visit.form()
    rows = _typed(form)
    try:
        body = {"packages": [_package(row) for row in rows]}
        await visit.api.put(API, body, etag=f'"{text(form, "version")}"')
    except ApiProblem as problem:
        return await _page(visit, text(form, "version"), rows, problem)
    return visit.redirect(HERE, "The packages are published. Purchases that were begun keep their price.")


def _row(item: dict[str, Any]) -> dict[str, str]:
    days = item["expires_after_days"]
    return {
        **{name: str(item[name]) for name in ("id", "name", "unit", "amount")},
        "price": item["price"]["amount"],
        "days": "" if days is None else str(days),
    }


def _typed(form: FormData) -> list[dict[str, str]]:
    """The rows as they were typed; one without anything in it is none."""
    columns = ([str(value).strip() for value in form.getlist(name)] for name in COLUMNS)
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=False) if any(row)]


def _package(row: dict[str, str]) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    name = row["name"] or row["id"]
    for column in ("id", "name", "unit", "amount", "price"):
        if not row[column]:
            raise wrong(column, f"The package {name}: its {column} is missing.")
    return {
        "id": row["id"],
        "name": row["name"],
        "unit": row["unit"],
        "amount": whole_of(row["amount"], "amount", name),
        "price": {"amount": row["price"].replace("$", "").replace(",", "").strip()},
        "expires_after_days": whole_of(row["days"], "days", name),
    }


async def _page(
    visit: Visit, version: object, rows: list[dict[str, str]], problem: ApiProblem | None = None
) -> Response:
    costs = (await visit.api.get("/api/v1/features"))["token_costs"]
    units = ["credits", "tokens", *(f"tokens.{type_}" for type_ in costs)]
    status = problem.status if problem else 200
    return visit.render("admin/packages.html", status, version=version, rows=rows, units=units, problem=problem)
