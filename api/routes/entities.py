"""Grants, reservations and debits of an account, from the read models."""

from typing import Annotated, Any, Literal

from fastapi import Depends
from fastapi.routing import APIRoute

from api.database import Row
from api.operation import Call
from api.paging import CursorText, Limit
from api.problems import not_found
from api.reading import Json, MinPosition, cursors, open_text, renamed, seen
from api.routing import ReadRoute, call_of
from api.schemas import DebitRow, GrantRow, ReservationRow, page_of
from api.services import Services
from domain.money import decimal_text

GRANTS = """
    select id, source, priority, status, amount, remaining, reserved, spent, expired, voided, transferred_out,
        granted_at, effective_at, expires_at, external_ref, paid_amount, paid_currency, sealed, position
    from read.grants where org = %(org)s and address = %(address)s and id > %(after)s
    order by id limit %(limit)s"""
_HOLD = """
    select id, status, amount, captured, returned, "left", expires_at, item, price_version, sealed, created_at,
        ended_at, position, created_position
    from read.reservations where org = %(org)s and address = %(address)s"""
HOLDS = (
    _HOLD
    + """ and (%(status)s::text is null or status = %(status)s) and created_position < %(after)s
    order by created_position desc limit %(limit)s"""
)
HOLD = _HOLD + " and id = %(id)s"
DEBIT = """
    select id, amount, refunded, reservation_id, item, price_version, sealed, created_at, position
    from read.debits where org = %(org)s and address = %(address)s and id = %(id)s"""

LAST = 2**62
CallNow = Annotated[Call, Depends(call_of)]


class _Entities:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def list_grants(
        self,
        address: str,
        call: CallNow,
        limit: Limit = 50,
        cursor: CursorText = None,
        min_position: MinPosition = None,
    ) -> Json:
        await seen(self._services, call, min_position)
        pages = cursors(self._services, call, "grants", address)
        after = pages.decode(cursor, str)[0] if cursor else ""
        rows = await self._services.rows(
            GRANTS, {"org": call.org, "address": address, "after": after, "limit": limit + 1}
        )
        await open_text(self._services, call, address, rows)
        return Json(pages.page(rows, limit, lambda row: [row["id"]], _grant))

    async def list_reservations(
        self,
        address: str,
        call: CallNow,
        status: Literal["held", "captured", "released", "expired"] | None = None,
        limit: Limit = 50,
        cursor: CursorText = None,
        min_position: MinPosition = None,
    ) -> Json:
        await seen(self._services, call, min_position)
        pages = cursors(self._services, call, "reservations", address, status or "")
        after = pages.decode(cursor, int)[0] if cursor else LAST
        rows = await self._services.rows(
            HOLDS, {"org": call.org, "address": address, "status": status, "after": after, "limit": limit + 1}
        )
        await open_text(self._services, call, address, rows)
        return Json(pages.page(rows, limit, lambda row: [row["created_position"]], _reservation))

    async def read_reservation(self, address: str, id: str, call: CallNow, min_position: MinPosition = None) -> Json:  # noqa: A002
        await seen(self._services, call, min_position)
        row = await self._services.row(HOLD, {"org": call.org, "address": address, "id": id})
        if row is None:
            raise not_found("reservation", id)
        await open_text(self._services, call, address, [row])
        return Json(_reservation(row))

    async def read_debit(self, address: str, id: str, call: CallNow, min_position: MinPosition = None) -> Json:  # noqa: A002
        await seen(self._services, call, min_position)
        row = await self._services.row(DEBIT, {"org": call.org, "address": address, "id": id})
        if row is None:
            raise not_found("debit", id)
        await open_text(self._services, call, address, [row])
        return Json(renamed(row, "debit_id"))


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""
    handlers = _Entities(services)
    path = "/api/v1/accounts/{address}"
    return [
        ReadRoute(
            path + "/grants",
            handlers.list_grants,
            services,
            "An account's grants, with what is left of each",
            page_of(GrantRow),
        ),
        ReadRoute(
            path + "/reservations",
            handlers.list_reservations,
            services,
            "An account's holds, newest first",
            page_of(ReservationRow),
        ),
        ReadRoute(
            path + "/reservations/{id}",
            handlers.read_reservation,
            services,
            "A hold and what has become of it",
            ReservationRow,
        ),
        ReadRoute(
            path + "/debits/{id}", handlers.read_debit, services, "A charge and how much of it was given back", DebitRow
        ),
    ]


def _grant(row: Row) -> dict[str, Any]:
    amount, currency = row.pop("paid_amount"), row.pop("paid_currency")
    row["paid"] = {"amount": decimal_text(amount), "currency": currency} if currency is not None else None
    return renamed(row, "grant_id")


def _reservation(row: Row) -> dict[str, Any]:
    row.pop("created_position")
    return renamed(row, "reservation_id")
