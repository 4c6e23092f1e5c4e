"""Balances, now and at any time, and the list of accounts."""

from typing import Annotated, Any

from fastapi import Query

from api.commands.accounts import settings_tag
from api.current import account_now, balance_of
from api.fields import QueryTime
from api.http.caller import Call
from api.http.endpoint import MinPosition, endpoint
from api.http.policy import USER, May
from api.paging import CursorText, Limit
from api.past import balance_at
from api.problems import Problem
from api.reading import Json, cursors, seen
from api.schemas import AccountRow, Balance, page_of
from infra.position import format_position

_COLUMNS = (
    "address, owner_type, owner_id, unit, granted, debited, refunded, expired, voided, transferred_in, transferred_out,"
    " reserved, available, shortfall, greatest(0, -available) as overdrawn, frozen, closed, credit_limit,"
    " position, updated_at"
)
_LIST = f"""
    select {_COLUMNS} from read.balances
    where org = %(org)s and address > %(after)s
      and address >= %(prefix)s and starts_with(address, %(prefix)s)
      and (%(unit)s::text is null or unit = %(unit)s)
      and (%(owner)s::text is null or (owner_type = 'user' and owner_id = %(owner)s))
    order by address limit %(limit)s"""


@endpoint("GET /api/v1/accounts/{address}/balance", May.READ_CREDITS, Balance)
async def read_balance(
    call: Call,
    address: str,
    effective_at: Annotated[QueryTime | None, Query(description="What the balance is, was or will be then.")] = None,
    known_at: Annotated[QueryTime | None, Query(description="By what was recorded until then.")] = None,
) -> Json:
    """What an account has."""
    if effective_at is None and known_at is None:
        account, now = await account_now(call.services, call.org, address)
        told = balance_of(address, account, now.position, now.time)
        return Json(told, headers={"ETag": settings_tag(account)})
    return Json(await balance_at(call, address, effective_at, known_at))


@endpoint("GET /api/v1/accounts", May.READ_CREDITS, page_of(AccountRow))
async def list_accounts(
    call: Call,
    prefix: Annotated[str, Query(max_length=767, pattern=r"^[A-Za-z0-9._:@|+=~-]*$")] = "",
    unit: Annotated[str | None, Query(max_length=255)] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
    min_position: MinPosition = None,
) -> Json:
    """List and search accounts."""
    await seen(call, min_position)
    prefix, owner = _own_part(call, prefix)
    pages = cursors(call, "accounts", prefix, unit or "")
    after = pages.decode(cursor, str)[0] if cursor else ""
    rows = await call.services.rows(
        _LIST, {"org": call.org, "after": after, "prefix": prefix, "unit": unit, "owner": owner, "limit": limit + 1}
    )
    return Json(pages.page(rows, limit, lambda row: [row["address"]], _shown))


def _own_part(call: Call, prefix: str) -> tuple[str, str | None]:
    """The prefix to look under and the only owner to show: a user sees their own accounts. Raises Problem (403)."""
    if call.principal.role is not USER:
        return prefix, None
    own = f"user:{call.principal.sub}:"
    # An owner id may contain colons, so the prefix alone would show `user:ann:x:credits` to ann.
    if own.startswith(prefix):
        return own, call.principal.sub
    if prefix.startswith(own) and ":" not in prefix.removeprefix(own):
        return prefix, call.principal.sub
    raise Problem(403, "not_own", "A user may only see and use their own accounts.", field="prefix")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"position": format_position(row["position"])}
