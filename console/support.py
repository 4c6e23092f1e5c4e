"""One search for whoever writes in, everything about them on one page, and putting it right in place."""

from typing import Any
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.responses import Response

from console.admin.form_values import in_path, text
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMINS, INSPECTORS
from console.visit import Visit

UNITS = ("credits", "tokens")
REFUNDABLE = ("completed", "settled_late")

pages = Pages()


@pages.get("/support", INSPECTORS)
async def support(visit: Visit) -> Response:
    """What was searched for; a generation that a user reported is searched for at once."""
    asked = (visit.query.get("q") or visit.query.get("generation") or "").strip()[:255]
    hits: list[Any] = (await visit.api.get("/api/v1/search", q=asked))["hits"] if asked else []
    return visit.render("support/search.html", asked=asked, hits=hits)


@pages.get("/support/users/{id}", INSPECTORS)
async def user(visit: Visit) -> Response:
    """Everything about one user; with `?debit=ID` that charge first."""
    return await _shown(visit)


@pages.post("/support/users/{id}/gift", ADMINS)
async def gift(visit: Visit) -> Response:
    """Give credits or tokens to make up for something."""
    form = await visit.form()
    unit = text(form, "unit") if text(form, "unit") in UNITS else UNITS[0]
    amount = text(form, "amount").replace(",", "")
    body = {
        "amount": int(amount) if amount.isascii() and amount.isdigit() else amount,
        "source": "gift",
        "reason": text(form, "reason"),
    }
    account = f"user:{visit.path['id']}:{unit}"
    path = f"/api/v1/accounts/{quote(account, safe=':')}/grants"
    try:
        await visit.api.post(path, body, key=text(form, "key"))
    except ApiProblem as problem:
        return await _shown(visit, form, problem)
    return visit.redirect(_page_of(visit), f"Given: {body['amount']:,} {unit}.")


@pages.post("/support/users/{id}/refund", ADMINS, back="/support/users/{id}")
async def refund(visit: Visit) -> Response:
    """Give back what a generation charged (credits, tokens, money and counts), or a charge without one."""
    form = await visit.form()
    generation, account = text(form, "generation"), text(form, "account")
    path = f"/api/v1/generations/{in_path(generation)}/refund"
    if account:
        path = f"/api/v1/accounts/{quote(account, safe=':')}/debits/{in_path(text(form, 'debit'))}/refunds"
    await visit.api.post(path, {"reason": text(form, "reason")}, key=text(form, "key"))
    return visit.redirect(_page_of(visit), "Refunded. The amount is back on the grants that paid.")


async def _shown(visit: Visit, typed: FormData | None = None, problem: ApiProblem | None = None) -> Response:
    """The user's page; `typed` and `problem`: a gift that was refused."""
    whole = await visit.api.get(f"/api/v1/users/{in_path(visit.path['id'])}", cursor=visit.query.get("cursor"))
    return visit.render(
        "support/user.html",
        422 if problem else 200,
        user=whole,
        debit=await _debit(visit, whole),
        may_act=visit.person.role in ADMINS,
        units=UNITS,
        refundable=REFUNDABLE,
        typed={name: text(typed, name) for name in ("amount", "unit", "reason")} if typed else {},
        problem=problem,
    )


async def _debit(visit: Visit, whole: dict[str, Any]) -> dict[str, Any] | None:
    """The charge that the address names, with its account; None without one."""
    id_ = visit.query.get("debit", "").strip()
    for account in whole["accounts"] if id_ else ():
        address = str(account["address"])
        path = f"/api/v1/accounts/{quote(address, safe=':')}/debits/{in_path(id_)}"
        found: dict[str, Any] | None = await visit.api.get_or_none(path)
        if found is not None:
            return {**found, "account": address, "unit": account["unit"]}
    return None


def _page_of(visit: Visit) -> str:
    return f"/support/users/{in_path(visit.path['id'])}"
