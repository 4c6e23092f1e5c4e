"""Give a user credits or tokens, with a reason and an end; and take back what is left of what was given."""

from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import in_path, instant, needed, new_key, text, whole
from console.admin.visible import visible
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMINS
from console.visit import Visit

HERE = "/admin/gifts"
ACCOUNTS = "/api/v1/accounts"
UNITS = (("credits", "Credits"), ("tokens", "Tokens"))
SOURCES = (
    ("gift", "Gift"),
    ("promotion", "Promotion"),
    ("trial", "Trial"),
    ("adjustment", "Correction of a mistake"),
)
NEW = {"user": "", "unit": "credits", "amount": "", "source": "gift", "reason": ""}

pages = Pages()


@pages.get(HERE, ADMINS)
async def gifts(visit: Visit) -> Response:
    """The form; with `user` also what that user was given, and what is left of it."""
    user = visit.query.get("user", "").strip()
    return await _page(visit, NEW | {"user": user, "unit": visit.query.get("unit", "credits")})


@pages.post(HERE, ADMINS)
async def give(visit: Visit) -> Response:
    """Grant it; the form sent twice gives once."""
    form = await visit.form()
    typed = {name: text(form, name) for name in NEW}
    try:
        body = _grant(form)
        path = f"{ACCOUNTS}/{in_path(_address(typed))}/grants"
        answer = await visit.api.post(path, body, key=text(form, "key") or None)
    except ApiProblem as problem:
        return await _page(visit, typed, problem)
    await visible(visit, path, answer)
    told = f"{typed['user']} has {body['amount']:,} {typed['unit']} more."
    return visit.redirect(f"{HERE}?user={in_path(typed['user'])}&unit={in_path(typed['unit'])}", told)


@pages.post(HERE + "/void", ADMINS)
async def void(visit: Visit) -> Response:
    """Take back what is left of a grant."""
    form = await visit.form()
    typed = {name: text(form, name) for name in NEW}
    back = f"{HERE}?user={in_path(typed['user'])}&unit={in_path(typed['unit'])}"
    path, grant = f"{ACCOUNTS}/{in_path(_address(typed))}/grants", in_path(text(form, "grant"))
    reason = {"reason": typed["reason"]} if typed["reason"] else {}
    try:
        answer = await visit.api.post(f"{path}/{grant}/void", reason)
    except ApiProblem as problem:
        return visit.refused(back, problem)
    await visible(visit, path, answer)
    return visit.redirect(back, f"{answer['voided']:,} {typed['unit']} are taken back.")


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


async def _page(visit: Visit, typed: dict[str, str], problem: ApiProblem | None = None) -> Response:
    account = None
    if typed["user"] and problem is None:
        address = in_path(_address(typed))
        balance, grants = await visit.api.together(
            f"{ACCOUNTS}/{address}/balance", f"{ACCOUNTS}/{address}/grants?limit=50"
        )
        account = {"balance": balance, "grants": grants["items"]}
    status = problem.status if problem else 200
    values = {"units": UNITS, "sources": SOURCES, "key": new_key()}
    return visit.render("admin/gifts.html", status, typed=typed, problem=problem, account=account, **values)
