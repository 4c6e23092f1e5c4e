"""The price book: edited as a table, pasted or exported, looked at before it is published, and taken back."""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import instant, json_of, pasted, text, wrong
from console.admin.price_rows import COLUMNS, Row, as_csv, entries_of, read_rows, row_of, typed_rows
from console.api import ApiProblem
from console.pages import Pages
from console.person import PLATFORM, PLATFORM_READERS
from console.visit import Visit, saved_as

HERE = "/admin/prices"
API = "/api/v1/prices"

pages = Pages()


@pages.get(HERE, PLATFORM_READERS)
async def prices(visit: Visit) -> Response:
    """The book in the editor: the newest one, or with `version` an older one to go back to."""
    book = await _book(visit)
    versions = await visit.api.get(f"{API}/versions", cursor=visit.query.get("cursor"), limit=20)
    return visit.render(
        "admin/prices.html",
        book=book,
        rows=[row_of(entry) for entry in book["entries"]],
        versions=versions["items"],
        cursor=versions["next_cursor"],
        may_change=visit.person.role in PLATFORM,
    )


@pages.get(HERE + "/export.{form}", PLATFORM_READERS)
async def export(visit: Visit) -> Response:
    """The book as CSV or JSON, in the form in which it can be pasted again."""
    book, form = await _book(visit), visit.path["form"]
    name = f"prices-{book['version']}.{form}"
    if form == "csv":
        return saved_as(name, as_csv(book["entries"]).encode("utf-8-sig"), "text/csv; charset=utf-8")
    if form != "json":
        raise ApiProblem(404, {"detail": "There is no such export."})
    return await visit.download(API, name, version=book["version"] or None)


@pages.get("/admin/parts/paste-prices", PLATFORM)
async def paste_form(visit: Visit) -> Response:
    """Where a table or a file goes."""
    return _paste(visit, "")


@pages.post(HERE + "/paste", PLATFORM)
async def paste(visit: Visit) -> Response:
    """Put what was pasted into the table, in the place of its rows or beside them. Nothing is published."""
    form = await visit.form()
    try:
        found = read_rows(await pasted(form, "pasted", "file"))
        if not found:
            raise wrong("pasted", "Paste a table or choose a file first.")
        entries_of(found)  # what cannot be read is told here, where it was pasted
    except ApiProblem as problem:
        return _paste(visit, text(form, "pasted"), problem)
    answer = visit.render("admin/price_rows_part.html", rows=found, may_change=True)
    where = "innerHTML" if text(form, "mode") == "replace" else "beforeend"
    answer.headers.update({"HX-Retarget": "#price-rows", "HX-Reswap": where, "HX-Trigger": "panel-done"})
    return answer


@pages.post(HERE + "/preview", PLATFORM_READERS)
async def preview(visit: Visit) -> Response:
    """What the table would change, and what last week would have cost by it."""
    form = await visit.form()
    try:
        body: dict[str, Any] = {"entries": entries_of(_rows(form))}
        effective = instant(form, "effective", "Takes effect")
        if effective:
            body["effective_at"] = effective
        found = await visit.api.post(f"{API}/preview", body)
        found["usage"] = [use | {"same": use["old"] == use["new"]} for use in found["usage"]]
    except ApiProblem as problem:
        detail = _by_row(problem.detail)
        return visit.render("admin/price_preview_part.html", problem.status, problem=detail, found=None)
    return visit.render(
        "admin/price_preview_part.html",
        problem=None,
        found=found,
        entries=body["entries"],
        effective=effective,
        latest=text(form, "latest"),
        may_change=visit.person.role in PLATFORM,
    )


@pages.post(HERE, PLATFORM, back=HERE)
async def publish(visit: Visit) -> Response:
    """Publish what was looked at; not over a version that somebody else has published meanwhile."""
    form = await visit.form()
    body: dict[str, Any] = {"entries": json_of(text(form, "entries"), "entries", "The entries")}
    if text(form, "effective_at"):
        body["effective_at"] = text(form, "effective_at")
    answer = await visit.api.put(API, body, etag=f'"{text(form, "latest")}"')
    when = "at the time that you chose" if "effective_at" in body else "in 5 seconds"
    return visit.redirect(HERE, f"Version {answer['version']} is published. It takes effect {when}.")


async def _book(visit: Visit) -> dict[str, Any]:
    """The version asked for, else the newest, also where it has not taken effect yet."""
    wanted = visit.query.get("version", "")
    current = await visit.api.get(API)
    number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else current["latest"]
    book = current if number == current["version"] else await visit.api.get(API, version=number)
    return {**book, "in_force": current["version"], "latest": current["latest"], "upcoming": current["upcoming"]}


def _rows(form: FormData) -> list[Row]:
    return typed_rows([form.getlist(name) for name in COLUMNS])


def _paste(visit: Visit, typed: str, problem: ApiProblem | None = None) -> Response:
    return visit.render("admin/price_paste_part.html", typed=typed, problem=problem, columns=COLUMNS)


def _by_row(detail: str) -> str:
    """`entries[3]` is row 4 to who sees a table."""
    before, found, rest = detail.partition("entries[")
    number, _, after = rest.partition("]")
    if not found or not number.isdigit():
        return detail
    return f"{before}Row {int(number) + 1}{_by_row(after)}"
