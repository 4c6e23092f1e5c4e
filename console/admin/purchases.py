"""What can be bought, purchases whose payment an administrator confirms or cancels, and gifts of credits and tokens."""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import in_path, instant, needed, text, whole, whole_of, wrong
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMIN, ADMINS, PLATFORM
from console.visit import Visit

PURCHASES_PAGE = "/admin/purchases"
PURCHASES = "/api/v1/purchases"
PURCHASE_STATUSES = (("pending", "Waiting for payment"), ("completed", "Paid"), ("failed", "Cancelled or failed"))
MANUAL = "manual"
PACKAGES_PAGE = "/admin/packages"
PACKAGES = "/api/v1/packages"
PACKAGE_COLUMNS = ("id", "name", "unit", "amount", "price", "days")
GIFTS_PAGE = "/admin/gifts"
ACCOUNTS = "/api/v1/accounts"
GIFT_UNITS = (("credits", "Credits"), ("tokens", "Tokens"))
GIFT_SOURCES = (
    ("gift", "Gift"),
    ("promotion", "Promotion"),
    ("trial", "Trial"),
    ("adjustment", "Correction of a mistake"),
)
NEW_GIFT = {"user": "", "unit": "credits", "amount": "", "source": "gift", "reason": ""}

pages = Pages()


@pages.get(PURCHASES_PAGE, ADMINS)
async def purchases(visit: Visit) -> Response:
    """The purchases of a status, newest first."""
    status = visit.query.get("status", "pending")
    if status not in dict(PURCHASE_STATUSES):
        status = "pending"
    found = await visit.api.get(
        PURCHASES, status=status, user_id=visit.query.get("user"), cursor=visit.query.get("cursor")
    )
    rows = [each | {"payable": _payable(visit, each)} for each in found["items"]]
    return visit.render(
        "admin/purchases.html",
        rows=rows,
        status=status,
        statuses=PURCHASE_STATUSES,
        user=visit.query.get("user", ""),
        cursor=found["next_cursor"],
    )


@pages.post(PURCHASES_PAGE + "/paid", ADMINS, back=PURCHASES_PAGE)
async def paid(visit: Visit) -> Response:
    """The money has arrived: deliver what was bought, once."""
    return await settled(visit, "paid", PURCHASES_PAGE, "Confirmed. What was bought is delivered.")


@pages.post(PURCHASES_PAGE + "/cancel", ADMINS, back=PURCHASES_PAGE)
async def cancel(visit: Visit) -> Response:
    """The money will not arrive."""
    return await settled(visit, "cancel", PURCHASES_PAGE, "The purchase is cancelled.")


async def settled(visit: Visit, what: str, back: str, done: str) -> Response:
    """Mark the form's purchase `paid` or `cancel` it, then show `back` with the sentence `done`."""
    form = await visit.form()
    ref = text(form, "payment_ref")
    body = {"payment_ref": ref} if ref and what == "paid" else {}
    path = f"{PURCHASES}/{in_path(text(form, 'purchase'))}/{what}"
    answer = await visit.api.post(path, body, key=text(form, "key"))
    await visit.until_visible(PURCHASES, answer)
    return visit.redirect(back, done)


def _payable(visit: Visit, row: dict[str, object]) -> bool:
    """Whether this person may say that it is paid: a plan is sold by the platform."""
    return row["provider"] == MANUAL and row["status"] == "pending" and (not row["plan"] or visit.person.role == ADMIN)


@pages.get(PACKAGES_PAGE, PLATFORM)
async def packages(visit: Visit) -> Response:
    """The packages as a table that can be edited."""
    found = await visit.api.get(PACKAGES)
    return await _packages_page(visit, found["version"], [_package_row(item) for item in found["items"]])


@pages.post(PACKAGES_PAGE, PLATFORM)
async def publish_packages(visit: Visit) -> Response:
    """All packages of the table from now on; not over somebody else's list meanwhile."""
    form = await visit.form()
    rows = _typed_packages(form)
    try:
        body = {"packages": [_package(row) for row in rows]}
        await visit.api.put(PACKAGES, body, etag=f'"{text(form, "version")}"')
    except ApiProblem as problem:
        return await _packages_page(visit, text(form, "version"), rows, problem)
    return visit.redirect(PACKAGES_PAGE, "The packages are published. Open purchases keep their price.")


def _package_row(item: dict[str, Any]) -> dict[str, str]:
    days = item["expires_after_days"]
    return {
        **{name: str(item[name]) for name in ("id", "name", "unit", "amount")},
        "price": item["price"]["amount"],
        "days": "" if days is None else str(days),
    }


def _typed_packages(form: FormData) -> list[dict[str, str]]:
    """The rows as they were typed; one without anything in it is none."""
    columns = ([str(value).strip() for value in form.getlist(name)] for name in PACKAGE_COLUMNS)
    return [dict(zip(PACKAGE_COLUMNS, row, strict=True)) for row in zip(*columns, strict=False) if any(row)]


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


async def _packages_page(
    visit: Visit, version: object, rows: list[dict[str, str]], problem: ApiProblem | None = None
) -> Response:
    costs = (await visit.api.get("/api/v1/features"))["token_costs"]
    units = ["credits", "tokens", *(f"tokens.{type_}" for type_ in costs)]
    return visit.render("admin/packages.html", version=version, rows=rows, units=units, problem=problem)


@pages.get(GIFTS_PAGE, ADMINS)
async def gifts(visit: Visit) -> Response:
    """The form; with `user` also what that user was given, and what is left of it."""
    user = visit.query.get("user", "").strip()
    return await _gifts_page(visit, NEW_GIFT | {"user": user, "unit": visit.query.get("unit", "credits")})


@pages.post(GIFTS_PAGE, ADMINS)
async def give(visit: Visit) -> Response:
    """Grant it; the form sent twice gives once."""
    form = await visit.form()
    typed = {name: text(form, name) for name in NEW_GIFT}
    try:
        body = _grant(form)
        path = f"{ACCOUNTS}/{in_path(_address(typed))}/grants"
        answer = await visit.api.post(path, body, key=text(form, "key"))
    except ApiProblem as problem:
        return await _gifts_page(visit, typed, problem)
    await visit.until_visible(path, answer)
    return visit.redirect(_gifts_of(typed), f"{typed['user']} has {body['amount']:,} {typed['unit']} more.")


@pages.post(GIFTS_PAGE + "/void", ADMINS)
async def void(visit: Visit) -> Response:
    """Take back what is left of a grant."""
    form = await visit.form()
    typed = {name: text(form, name) for name in NEW_GIFT}
    back = _gifts_of(typed)
    path, grant = f"{ACCOUNTS}/{in_path(_address(typed))}/grants", in_path(text(form, "grant"))
    reason = {"reason": typed["reason"]} if typed["reason"] else {}
    try:
        answer = await visit.api.post(f"{path}/{grant}/void", reason)
    except ApiProblem as problem:
        return visit.redirect(back, problem.detail, kind="error")
    await visit.until_visible(path, answer)
    return visit.redirect(back, f"{answer['voided']:,} {typed['unit']} are taken back.")


def _gifts_of(typed: dict[str, str]) -> str:
    return f"{GIFTS_PAGE}?user={in_path(typed['user'])}&unit={in_path(typed['unit'])}"


def _address(typed: dict[str, str]) -> str:
    return f"user:{typed['user']}:{typed['unit']}"


def _grant(form: FormData) -> dict[str, Any]:
    """Raises ApiProblem (422)."""
    needed(text(form, "user"), "user", "The user")
    body = {
        "amount": needed(whole(form, "amount", "Amount"), "amount", "The amount"),
        "source": text(form, "source"),
        "reason": needed(text(form, "reason"), "reason", "The reason"),
    }
    expires = instant(form, "expires", "Expires")
    return body | ({"expires_at": expires} if expires else {})


async def _gifts_page(visit: Visit, typed: dict[str, str], problem: ApiProblem | None = None) -> Response:
    account = None
    if typed["user"] and problem is None:
        address = in_path(_address(typed))
        balance, grants = await visit.api.together(
            f"{ACCOUNTS}/{address}/balance", f"{ACCOUNTS}/{address}/grants?limit=50"
        )
        account = {"balance": balance, "grants": grants["items"]}
    return visit.render(
        "admin/gifts.html", typed=typed, problem=problem, account=account, units=GIFT_UNITS, sources=GIFT_SOURCES
    )
