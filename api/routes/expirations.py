"""The calendar of what expires: `400 expire on the 14th, used first`."""

from datetime import date, datetime
from itertools import groupby
from typing import Any

from pydantic import BaseModel

from api.current import account_now
from api.http.caller import Call
from api.http.endpoint import endpoint
from api.http.policy import May
from api.reading import Json
from domain.credits.account import Account
from domain.credits.events import Slice
from domain.periods import NEVER
from infra.position import format_position

MAX_ITEMS = 100  # instants
MAX_GRANTS = 20  # told of one instant


class ExpiringGrant(BaseModel):
    """What is free of one grant."""

    grant_id: str
    amount: int
    source: str


class Expiration(BaseModel):
    """What expires at one instant. `on` is its day in UTC; `used_first`: the next to be spent is of it.

    At most 20 of its grants are told, in the order in which they are used.
    """

    expires_at: datetime
    on: date
    amount: int
    grants: list[ExpiringGrant]
    used_first: bool


class Expirations(BaseModel):
    """The nearest 100 instants, in order; `total` is all that expires some time, `never` what does not.

    What is held is in none of it: it expires only when the hold has ended.
    """

    address: str
    items: list[Expiration]
    total: int
    never: int
    truncated: bool
    position: str
    as_of: datetime


@endpoint("GET /api/v1/accounts/{address}/expirations", May.READ_CREDITS, Expirations)
async def list_expirations(call: Call, address: str) -> Json:
    """When what an account has expires."""
    account, now = await account_now(call.services, call.org, address)
    told = _calendar(account)
    return Json({"address": address, **told, "position": format_position(now.position), "as_of": now.time})


def _calendar(account: Account) -> dict[str, Any]:
    """`grants` are in burn order, and a stable sort keeps it within an instant."""
    ending = sorted(account.grants, key=_end)
    items = [_item(end, list(parts), account.grants[0]) for end, parts in groupby(ending, key=_end) if end != NEVER]
    total = sum(item["amount"] for item in items)
    return {
        "items": items[:MAX_ITEMS],
        "total": total,
        "never": account.free - total,
        "truncated": len(items) > MAX_ITEMS,
    }


def _end(part: Slice) -> datetime:
    return part.expires_at or NEVER


def _item(end: datetime, parts: list[Slice], first: Slice) -> dict[str, Any]:
    shown = [{"grant_id": part.grant, "amount": part.amount, "source": part.source} for part in parts[:MAX_GRANTS]]
    return {
        "expires_at": end,
        "on": end.date(),
        "amount": sum(part.amount for part in parts),
        "grants": shown,
        "used_first": first in parts,
    }
