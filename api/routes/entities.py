"""Grants, reservations and debits of an account, from the read models."""

from typing import Any, Literal

from api.database import Row
from api.http.caller import Call
from api.http.endpoint import MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, Limit
from api.problems import not_found
from api.reading import Json, cursors, open_text, renamed, seen
from api.schemas import DebitRow, GrantRow, ReservationRow, page_of
from domain.money import decimal_text

_GRANTS = """
    select id, source, priority, status, amount, remaining, reserved, spent, expired, voided, transferred_out,
        granted_at, effective_at, expires_at, external_ref, paid_amount, paid_currency, sealed, position
    from read.grants where org = %(org)s and address = %(address)s and id > %(after)s
    order by id limit %(limit)s"""
_HOLD = """
    select id, status, amount, captured, returned, "left", expires_at, item, price_version, sealed, created_at,
        ended_at, position, created_position
    from read.reservations where org = %(org)s and address = %(address)s"""
_HOLDS = (
    _HOLD
    + """ and (%(status)s::text is null or status = %(status)s) and created_position < %(after)s
    order by created_position desc limit %(limit)s"""
)
_DEBIT = """
    select id, amount, refunded, reservation_id, item, price_version, sealed, created_at, position
    from read.debits where org = %(org)s and address = %(address)s and id = %(id)s"""

LAST = 2**62


@endpoint("GET /api/v1/accounts/{address}/grants", May.READ_CREDITS, page_of(GrantRow))
async def list_grants(
    call: Call, address: str, limit: Limit = 50, cursor: CursorText = None, min_position: MinPosition = None
) -> Json:
    """An account's grants, with what is left of each."""
    await seen(call, min_position)
    pages = cursors(call, "grants", address)
    after = pages.decode(cursor, str)[0] if cursor else ""
    rows = await call.services.rows(_GRANTS, {"org": call.org, "address": address, "after": after, "limit": limit + 1})
    await open_text(call, address, rows)
    return Json(pages.page(rows, limit, lambda row: [row["id"]], _grant))


@endpoint("GET /api/v1/accounts/{address}/reservations", May.READ_CREDITS, page_of(ReservationRow))
async def list_reservations(
    call: Call,
    address: str,
    status: Literal["held", "captured", "released", "expired"] | None = None,
    limit: Limit = 50,
    cursor: CursorText = None,
    min_position: MinPosition = None,
) -> Json:
    """An account's holds, newest first."""
    await seen(call, min_position)
    pages = cursors(call, "reservations", address, status or "")
    after = pages.decode(cursor, int)[0] if cursor else LAST
    rows = await call.services.rows(
        _HOLDS, {"org": call.org, "address": address, "status": status, "after": after, "limit": limit + 1}
    )
    await open_text(call, address, rows)
    return Json(pages.page(rows, limit, lambda row: [row["created_position"]], _reservation))


@endpoint("GET /api/v1/accounts/{address}/reservations/{id}", May.READ_CREDITS, ReservationRow)
async def read_reservation(call: Call, address: str, id: str, min_position: MinPosition = None) -> Json:
    """A hold and what has become of it."""
    await seen(call, min_position)
    row = await call.services.row(_HOLD + " and id = %(id)s", {"org": call.org, "address": address, "id": id})
    if row is None:
        raise not_found("reservation", id)
    await open_text(call, address, [row])
    return Json(_reservation(row))


@endpoint("GET /api/v1/accounts/{address}/debits/{id}", May.READ_CREDITS, DebitRow)
async def read_debit(call: Call, address: str, id: str, min_position: MinPosition = None) -> Json:
    """A charge and how much of it was given back."""
    await seen(call, min_position)
    row = await call.services.row(_DEBIT, {"org": call.org, "address": address, "id": id})
    if row is None:
        raise not_found("debit", id)
    await open_text(call, address, [row])
    return Json(renamed(row, "debit_id"))


def _grant(row: Row) -> dict[str, Any]:
    amount, currency = row.pop("paid_amount"), row.pop("paid_currency")
    row["paid"] = {"amount": decimal_text(amount), "currency": currency} if currency is not None else None
    return renamed(row, "grant_id")


def _reservation(row: Row) -> dict[str, Any]:
    row.pop("created_position")
    return renamed(row, "reservation_id")
