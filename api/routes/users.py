"""Everything about one user in one call, for support."""

from asyncio import gather
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.acting import own_only
from api.current import ask
from api.database import Row
from api.known_users import MOST as MOST_NAMED
from api.known_users import known_users
from api.operation import Call
from api.paging import CursorText, IdPrefix, Limit
from api.reading import Json, MinPosition, cursors, seen
from api.routes.purchases import shown_purchase
from api.routing import ReadRoute, call_of
from api.schemas import page_of
from api.services import Services
from api.support_queries import (
    ACCOUNTS,
    ALERTS,
    GENERATIONS,
    GROUPS,
    HOLDS,
    PURCHASES,
    REFUSALS,
    TIMELINE,
    USERS,
)
from api.timeline import told
from domain.budgets.now import BudgetNow, BudgetUse
from domain.money import decimal_text
from domain.organisations.events import Resource
from domain.storage.now import StorageNow, StorageUse
from infra.position import format_position

BUDGET_EXCEEDED = "budget_exceeded"
MOST = 20  # of each list; the timeline goes on with its cursor
LAST = 2**62
PATH = "/api/v1/users"
CallNow = Annotated[Call, Depends(call_of)]


class UserRow(BaseModel):
    """A user in a list; credits and tokens are those of their own accounts, `storage_used` is bytes."""

    user_id: str
    credits_available: int
    credits_reserved: int
    tokens_available: int
    storage_used: int


class UserPage(page_of(UserRow)):  # type: ignore[misc]  # made when the module is loaded
    """Where `ids` were asked for: those that are not known, are named more than once, or can be no id."""

    unknown: list[str] | None = None
    repeated: list[str] | None = None
    invalid: list[str] | None = None


class UserAnswer(BaseModel):
    """One user. Lists hold the newest 20; `timeline` goes on with `cursor`."""

    user_id: str
    exists: bool
    accounts: list[dict[str, Any]]
    holds: list[dict[str, Any]]
    generations: list[dict[str, Any]]
    storage: dict[str, Any]
    budget: dict[str, Any]
    groups: list[dict[str, Any]]
    purchases: list[dict[str, Any]]
    refusals: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    timeline: dict[str, Any]
    position: str


def routes(services: Services) -> list[APIRoute]:
    """The routes of this module."""

    async def list_users(
        call: CallNow,
        prefix: IdPrefix = "",
        ids: Annotated[
            str | None, Query(max_length=60_000, description=f"At most {MOST_NAMED} ids by commas: which are known?")
        ] = None,
        limit: Limit = 50,
        cursor: CursorText = None,
        min_position: MinPosition = None,
    ) -> Json:
        await seen(services, call, min_position)
        if ids is not None:
            return Json(await known_users(services, call, ids))
        pages = cursors(services, call, "users", prefix)
        after = pages.decode(cursor, str)[0] if cursor else ""
        wanted = {"org": call.org, "prefix": prefix, "after": after, "limit": limit + 1}
        rows = await services.rows(USERS, wanted)
        return Json(pages.page(rows, limit, lambda row: [row["user_id"]], lambda row: row))

    async def read_user(
        id: str,  # noqa: A002 - the path's name
        call: CallNow,
        limit: Limit = 50,
        cursor: CursorText = None,
        min_position: MinPosition = None,
    ) -> Json:
        own_only(call, id)
        await seen(services, call, min_position)
        return Json(await _everything(services, call, limit, cursor))

    return [
        ReadRoute(
            "GET",
            PATH,
            list_users,
            services,
            operation="list_users",
            summary="The organisation's users",
            answers=UserPage,
        ),
        ReadRoute(
            "GET",
            PATH + "/{id}",
            read_user,
            services,
            operation="read_user",
            summary="Everything about one user",
            answers=UserAnswer,
        ),
    ]


async def _everything(services: Services, call: Call, limit: int, cursor: str | None) -> dict[str, Any]:
    user, org = call.id, call.org
    wanted = {"org": org, "user": user, "most": MOST}
    accounts = await services.rows(ACCOUNTS, wanted)
    addresses = [row["address"] for row in accounts]
    subjects = [f"budget/{user}", f"storage/{user}", *(f"account/{address}" for address in addresses)]
    holds, generations, groups, purchases = await gather(
        services.rows(HOLDS, wanted | {"addresses": addresses}),
        services.rows(GENERATIONS, wanted),
        services.rows(GROUPS, wanted),
        services.rows(PURCHASES, wanted),
    )
    refusals, alerts, timeline = await gather(
        services.rows(REFUSALS, wanted),
        services.rows(ALERTS, wanted | {"subjects": subjects}),
        _timeline(services, call, addresses, limit, cursor),
    )
    storage = await ask(services, org, StorageNow(user=user, default_limit=call.defaults.storage_limit))
    budget = await ask(services, org, BudgetNow(user=user))
    stored: StorageUse = storage.value
    spent: BudgetUse = budget.value
    return {
        "user_id": user,
        "exists": bool(accounts or generations or groups or purchases or stored.used or spent.used),
        "accounts": accounts,
        "holds": holds,
        "generations": generations,
        "storage": {**stored._asdict(), "percent": stored.used * 100 // stored.limit if stored.limit else 100},
        "budget": _budget(spent),
        "groups": groups,
        "purchases": [shown_purchase(row) for row in purchases],
        "refusals": [_refusal(row) for row in refusals],
        "alerts": alerts,
        "timeline": timeline,
        "position": format_position(budget.position),
    }


async def _timeline(
    services: Services, call: Call, addresses: list[str], limit: int, cursor: str | None
) -> dict[str, Any]:
    pages = cursors(services, call, "timeline", call.id)
    position, line = pages.decode(cursor, int, int) if cursor else (LAST, 0)
    wanted = {"org": call.org, "user": call.id, "addresses": addresses, "position": position, "line": line}
    rows: list[Row] = await services.rows(TIMELINE, wanted | {"limit": limit + 1})
    return pages.page(rows, limit, lambda row: [row["position"], row["line"]], told)


def _refusal(row: Row) -> dict[str, Any]:
    """A refused generation with its money as text."""
    if row["reason"] == BUDGET_EXCEEDED:
        row["deficit"] = decimal_text(row["deficit"])
    row["checks"] = [_check(check) for check in row["checks"]]
    return row


def _check(check: dict[str, Any]) -> dict[str, Any]:
    if check["resource"] != Resource.BUDGET:
        return check
    numbers = {name: check.get(name) for name in ("needed", "available", "limit")}
    money = {name: None if value is None else decimal_text(value) for name, value in numbers.items()}
    return {**check, **money, "currency": "USD"}


def _budget(use: BudgetUse) -> dict[str, Any]:
    return {
        "monthly_budget": decimal_text(use.monthly),
        "ceiling": decimal_text(use.ceiling) if use.ceiling is not None else None,
        "used_monthly": decimal_text(use.used),
        "held": decimal_text(use.held),
        "remaining": decimal_text(use.remaining),
        "currency": "USD",
        "period_start": use.period.start,
        "period_end": use.period.end,
    }
