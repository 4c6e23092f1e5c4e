"""Purchases: started by a buyer, delivered once when they are paid (S3)."""

from typing import Any, Literal

from api.commands.plans import shown_money
from api.commands.purchases import PurchaseAnswer, PurchaseBody, PurchaseRow, start_command, started
from api.current import read_current
from api.database import Row
from api.fields import UserId
from api.http.caller import Call, seen_user
from api.http.command import execute
from api.http.endpoint import REPLAYED, MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.problems import Problem, refused
from api.reading import Json, cursors, seen
from api.schemas import page_of
from api.services import Services
from domain.credits.events import Paid
from domain.plans.complete_purchase import CompletePurchase
from domain.plans.events import PurchaseStarted
from domain.plans.state import STREAM, Catalogue
from infra.partitions import PLATFORM
from infra.payments.provider import Order
from infra.position import format_position
from infra.security.principal import Role
from infra.writer.submission import Outcome, Submission

_LIST = """
    select id, user_id, provider, status, price, currency, package, address as account, plan, billing, payment_ref,
        reason, created_at, created_position, ended_at, position
    from read.purchases
    where org = %(org)s and created_position < %(before)s
      and (%(user)s::text is null or user_id = %(user)s) and (%(status)s::text is null or status = %(status)s)
    order by created_position desc limit %(limit)s"""

LAST = 2**62


@endpoint("GET /api/v1/purchases", May.READ_CREDITS, page_of(PurchaseRow))
async def list_purchases(
    call: Call,
    user_id: UserId = None,
    status: Literal["pending", "completed", "failed"] | None = None,
    limit: Limit = 50,
    cursor: CursorText = None,
    min_position: MinPosition = None,
) -> Json:
    """Purchases, newest first."""
    user = seen_user(call, user_id)
    await seen(call, min_position)
    pages = cursors(call, "purchases", user or "", status or "")
    before = pages.decode(cursor, int)[0] if cursor else LAST
    wanted = {"org": call.org, "before": before, "user": user, "status": status, "limit": limit + 1}
    rows = await call.services.rows(_LIST, wanted)
    return Json(pages.page(rows, limit, lambda row: [row["created_position"]], shown_purchase))


def shown_purchase(row: Row) -> dict[str, Any]:
    """A row of `read.purchases` as it is told."""
    row.pop("created_position")
    told = {"purchase_id": row.pop("id"), **row}
    told["price"] = shown_money(Paid(told["price"], told.pop("currency")))
    package = told["package"]
    if package is not None:  # its price is told once
        told["package"] = {name: package[name] for name in ("id", "name", "unit", "amount")}
    told["position"] = format_position(told["position"])
    return told


async def paid(services: Services, org: str, purchase_id: str, payment_ref: str, money: Paid, provider: str) -> Outcome:
    """Deliver a purchase that its provider says is paid. A payment is told as often as the provider likes.

    Raises Problem (503).
    """
    command = CompletePurchase(purchase_id=purchase_id, payment_ref=payment_ref, paid=money)
    actor = f"payments:{provider}"
    # Its own key, so that a repetition finds the first outcome; a refusal may come right later.
    key = f"{purchase_id}/{payment_ref}/{money.amount}{money.currency}"
    item = Submission(org=org, command=command, actor=actor, caller=actor, key=key, keep_refusals=False)
    return await execute(services, item)


@endpoint("POST /api/v1/purchases", May.BUY, PurchaseAnswer, status=201)
async def create_purchase(call: Call, body: PurchaseBody) -> Json:
    """Buy a package or a plan."""
    provider = call.services.payments
    if provider is None:
        raise Problem(409, "payments_not_configured", "Nothing can be bought: this deployment has no payment provider.")
    call.services.free_writes.check(call.principal, call.org)
    command = start_command(call, body, provider.name, await _unit_of(call, body))
    outcome = await execute(call.services, call.submission(command))
    if not outcome.replayed:  # one that is accepted has taken nothing either: it is paid for later, or never
        counted = (
            call.services.free_writes.count_accepted if outcome.refusal is None else call.services.free_writes.count
        )
        counted(call.principal, call.org)
    if outcome.refusal is not None:
        call.services.metrics.refused("create_purchase", outcome.refusal.code)
        raise refused(outcome.refusal)
    event = outcome.one(PurchaseStarted)
    url = provider.checkout_url(Order(call.org, event.purchase_id, event.price.amount, event.price.currency))
    told = {
        **started(event),
        "price": shown_money(event.price),
        "status": "pending",
        "checkout_url": url,
        "position": format_position(outcome.position),
    }
    return Json(told, status_code=201, headers=REPLAYED if outcome.replayed else None)


async def _unit_of(call: Call, body: PurchaseBody) -> str | None:
    """The unit of the package that a user buys without naming an account; plan tokens would be the organisation's."""
    if call.principal.role is not Role.USER or body.package is None or body.account is not None:
        return None
    now = await read_current(call.services, PLATFORM, STREAM)
    catalogue: Catalogue = now.states[STREAM]
    return next((each.unit for each in catalogue.packages if each.id == body.package), None)
