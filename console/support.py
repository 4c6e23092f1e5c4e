"""One search for whoever writes in, everything about them on one page, and putting it right in place."""

import secrets
from typing import Any
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.responses import Response

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
    unit = _text(form, "unit") if _text(form, "unit") in UNITS else UNITS[0]
    amount = _text(form, "amount").replace(",", "")
    body = {
        "amount": int(amount) if amount.isascii() and amount.isdigit() else amount,
        "source": "gift",
        "reason": _text(form, "reason"),
    }
    account = f"user:{visit.path['id']}:{unit}"
    path = f"/api/v1/accounts/{quote(account, safe=':')}/grants"
    try:
        await visit.api.post(path, body, key=_text(form, "key") or None)
    except ApiProblem as problem:
        return await _shown(visit, form, problem)
    return visit.redirect(_page_of(visit), f"Given: {body['amount']:,} {unit}.")


@pages.post("/support/users/{id}/refund", ADMINS)
async def refund(visit: Visit) -> Response:
    """Give back what a generation charged (credits, tokens, money and counts), or a charge without one."""
    form = await visit.form()
    generation, account = _text(form, "generation"), _text(form, "account")
    path = f"/api/v1/generations/{quote(generation, safe='')}/refund"
    if account:
        debit = quote(_text(form, "debit"), safe="")
        path = f"/api/v1/accounts/{quote(account, safe=':')}/debits/{debit}/refunds"
    try:
        await visit.api.post(path, {"reason": _text(form, "reason")}, key=_text(form, "key") or None)
    except ApiProblem as problem:
        return visit.refused(_page_of(visit), problem)
    return visit.redirect(_page_of(visit), "Refunded. It went back to the grants that had paid.")


async def _shown(visit: Visit, typed: FormData | None = None, problem: ApiProblem | None = None) -> Response:
    """The user's page; `typed` and `problem`: a gift that was refused."""
    whole = await visit.api.get(f"/api/v1/users/{quote(visit.path['id'], safe='')}", cursor=visit.query.get("cursor"))
    return visit.render(
        "support/user.html",
        422 if problem else 200,
        user=whole,
        debit=await _debit(visit, whole),
        may_act=visit.person.role in ADMINS,
        units=UNITS,
        refundable=REFUNDABLE,
        key=secrets.token_urlsafe(18),
        typed={name: _text(typed, name) for name in ("amount", "unit", "reason")} if typed else {},
        problem=problem,
    )


async def _debit(visit: Visit, whole: dict[str, Any]) -> dict[str, Any] | None:
    """The charge that the address names, with its account; None without one."""
    id_ = visit.query.get("debit", "").strip()
    for account in whole["accounts"] if id_ else ():
        address = str(account["address"])
        path = f"/api/v1/accounts/{quote(address, safe=':')}/debits/{quote(id_, safe='')}"
        found: dict[str, Any] | None = await visit.api.get_or_none(path)
        if found is not None:
            return {**found, "account": address, "unit": account["unit"]}
    return None


def _page_of(visit: Visit) -> str:
    return f"/support/users/{quote(visit.path['id'], safe='')}"


def _text(form: FormData, name: str) -> str:
    return str(form.get(name, "")).strip()
