"""Purchases: started by a buyer, delivered once when they are paid (S3)."""

from typing import Annotated, Any, Literal

from fastapi import Depends
from fastapi.routing import APIRoute

from api.acting import seen_user
from api.commands.plans import shown_money
from api.commands.purchases import PURCHASES, PurchaseAnswer, PurchaseBody, PurchaseRow, start_command, started
from api.current import read_current
from api.database import Row
from api.fields import UserId
from api.operation import Call
from api.paging import CursorText, Limit
from api.pipeline import execute, fingerprint
from api.problems import Problem, refused
from api.reading import Json, MinPosition, cursors, seen
from api.routing import BodyRoute, Given, ReadRoute, call_of
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


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def list_purchases(
        call: Annotated[Call, Depends(call_of)],
        user_id: UserId = None,
        status: Literal["pending", "completed", "failed"] | None = None,
        limit: Limit = 50,
        cursor: CursorText = None,
        min_position: MinPosition = None,
    ) -> Json:
        user = seen_user(call, user_id)
        await seen(services, call, min_position)
        pages = cursors(services, call, "purchases", user or "", status or "")
        before = pages.decode(cursor, int)[0] if cursor else LAST
        wanted = {"org": call.org, "before": before, "user": user, "status": status, "limit": limit + 1}
        rows = await services.rows(_LIST, wanted)
        return Json(pages.page(rows, limit, lambda row: [row["created_position"]], shown_purchase))

    return [
        BodyRoute(
            PURCHASES, _create_purchase, services, "Buy a package or a plan", PurchaseBody, PurchaseAnswer, status=201
        ),
        ReadRoute(PURCHASES, list_purchases, services, "Purchases, newest first", page_of(PurchaseRow)),
    ]


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


async def _create_purchase(given: Given) -> tuple[dict[str, Any], dict[str, str] | None]:
    services, call = given.services, given.call
    provider = services.payments
    if provider is None:
        raise Problem(409, "payments_not_configured", "Nothing can be bought: this deployment has no payment provider.")
    services.free_writes.check(call.principal, call.org)
    command = start_command(call, given.body, provider.name, await _unit_of(given))
    outcome = await execute(services, _submission(given, command))
    if not outcome.replayed:  # one that is accepted has taken nothing either: it is paid for later, or never
        counted = services.free_writes.count_accepted if outcome.refusal is None else services.free_writes.count
        counted(call.principal, call.org)
    if outcome.refusal is not None:
        services.metrics.refused("create_purchase", outcome.refusal.code)
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
    return told, {"Idempotency-Replayed": "true"} if outcome.replayed else None


async def _unit_of(given: Given) -> str | None:
    """The unit of the package that a user buys without naming an account; plan tokens would be the organisation's."""
    body = given.body
    if given.call.principal.role is not Role.USER or body.package is None or body.account is not None:
        return None
    now = await read_current(given.services, PLATFORM, STREAM)
    catalogue: Catalogue = now.states[STREAM]
    return next((each.unit for each in catalogue.packages if each.id == body.package), None)


def _submission(given: Given, command: Any) -> Submission:
    org, actor = given.call.org, given.call.principal.actor
    if given.key is None:
        return Submission(org=org, command=command, actor=actor, caller=actor)
    print_ = fingerprint(given.services, "POST", given.path, given.canonical)
    return Submission(org=org, command=command, actor=actor, caller=actor, key=given.key, fingerprint=print_)
