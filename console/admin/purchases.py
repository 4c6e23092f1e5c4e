"""What was bought and is not paid yet: an administrator confirms the payment, or cancels the purchase."""

from starlette.responses import Response

from console.admin.form_values import in_path, new_key, text
from console.admin.visible import visible
from console.api import ApiProblem
from console.pages import Pages
from console.person import ADMIN, ADMINS
from console.visit import Visit

HERE = "/admin/purchases"
API = "/api/v1/purchases"
STATUSES = (("pending", "Waiting for payment"), ("completed", "Paid"), ("failed", "Cancelled or failed"))
MANUAL = "manual"

pages = Pages()


@pages.get(HERE, ADMINS)
async def purchases(visit: Visit) -> Response:
    """The purchases of a status, newest first."""
    status = visit.query.get("status", "pending")
    if status not in dict(STATUSES):
        status = "pending"
    found = await visit.api.get(API, status=status, user_id=visit.query.get("user"), cursor=visit.query.get("cursor"))
    rows = [each | {"payable": _payable(visit, each)} for each in found["items"]]
    return visit.render(
        "admin/purchases.html",
        rows=rows,
        status=status,
        statuses=STATUSES,
        user=visit.query.get("user", ""),
        cursor=found["next_cursor"],
        key=new_key(),
    )


@pages.post(HERE + "/paid", ADMINS)
async def paid(visit: Visit) -> Response:
    """The money has arrived: deliver what was bought, once."""
    return await settled(visit, "paid", HERE, "Confirmed. What was bought is delivered.")


@pages.post(HERE + "/cancel", ADMINS)
async def cancel(visit: Visit) -> Response:
    """The money will not arrive."""
    return await settled(visit, "cancel", HERE, "The purchase is cancelled.")


async def settled(visit: Visit, what: str, back: str, told: str) -> Response:
    """Mark the form's purchase `paid` or `cancel` it, then show `back` with what has become of it."""
    form = await visit.form()
    ref = text(form, "payment_ref")
    body = {"payment_ref": ref} if ref and what == "paid" else {}
    try:
        answer = await visit.api.post(
            f"{API}/{in_path(text(form, 'purchase'))}/{what}", body, key=text(form, "key") or None
        )
    except ApiProblem as problem:
        return visit.refused(back, problem)
    await visible(visit, API, answer)
    return visit.redirect(back, told)


def _payable(visit: Visit, row: dict[str, object]) -> bool:
    """Whether this person may say that it is paid: a plan is sold by the platform."""
    return row["provider"] == MANUAL and row["status"] == "pending" and (not row["plan"] or visit.person.role == ADMIN)
