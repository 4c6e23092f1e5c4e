"""Everything about one user in one call, for support."""

from asyncio import gather
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel

from api.current import ask
from api.database import Row
from api.http.caller import Call, own_only
from api.http.endpoint import MinPosition, endpoint
from api.http.policy import May
from api.paging import CursorText, IdPrefix, Limit
from api.problems import invalid
from api.reading import Json, cursors, seen
from api.routes.purchases import shown_purchase
from api.schemas import page_of
from api.support_queries import ACCOUNTS, ALERTS, GENERATIONS, GROUPS, HOLDS, PURCHASES, REFUSALS, TIMELINE, USERS
from domain.budgets.now import BudgetNow, BudgetUse
from domain.ids import is_id
from domain.money import decimal_text
from domain.resources.table import RESOURCES
from domain.storage.now import StorageNow, StorageUse
from infra.position import format_position

BUDGET_EXCEEDED = "budget_exceeded"
MOST = 20  # of each list; the timeline goes on with its cursor
LAST = 2**62
PATH = "/api/v1/users"
MOST_NAMED = 200  # names in one question
# Users leave their names in several tables; each is looked up by its key.
_KNOWN = """
    select n.user_id, coalesce(c.available, 0) as credits_available, coalesce(c.reserved, 0) as credits_reserved,
        coalesce(t.available, 0) as tokens_available, coalesce(s.used, 0) as storage_used
    from unnest(%(ids)s::text[] collate "C") as n (user_id)
    left join read.balances c on c.org = %(org)s and c.address = 'user:' || n.user_id || ':credits'
    left join read.balances t on t.org = %(org)s and t.address = 'user:' || n.user_id || ':tokens'
    left join read.storages s on s.org = %(org)s and s.user_id = n.user_id
    where c.org is not null or t.org is not null or s.org is not null
      or exists (select from read.members where org = %(org)s and user_id = n.user_id)
      or exists (select from read.budgets where org = %(org)s and user_id = n.user_id)
      or exists (select from read.generations where org = %(org)s and user_id = n.user_id)
      or exists (select from read.balances where org = %(org)s and owner_type = 'user' and owner_id = n.user_id
        and address >= 'user:' || n.user_id and starts_with(address, 'user:' || n.user_id || ':'))
    order by n.user_id"""
Say = Callable[[Row], str]


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


@endpoint("GET /api/v1/users", May.READ_USERS, UserPage)
async def list_users(
    call: Call,
    prefix: IdPrefix = "",
    ids: Annotated[
        str | None, Query(max_length=60_000, description=f"At most {MOST_NAMED} ids by commas: which are known?")
    ] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
    min_position: MinPosition = None,
) -> Json:
    """The organisation's users."""
    await seen(call, min_position)
    if ids is not None:
        return Json(await _known_users(call, ids))
    pages = cursors(call, "users", prefix)
    after = pages.decode(cursor, str)[0] if cursor else ""
    wanted = {"org": call.org, "prefix": prefix, "after": after, "limit": limit + 1}
    rows = await call.services.rows(USERS, wanted)
    return Json(pages.page(rows, limit, lambda row: [row["user_id"]], lambda row: row))


@endpoint("GET /api/v1/users/{id}", May.READ_OWN_USER, UserAnswer)
async def read_user(
    call: Call, id: str, limit: Limit = 50, cursor: CursorText = None, min_position: MinPosition = None
) -> Json:
    """Everything about one user."""
    own_only(call, id)
    await seen(call, min_position)
    return Json(await _everything(call, limit, cursor))


async def _everything(call: Call, limit: int, cursor: str | None) -> dict[str, Any]:
    user, org = call.id, call.org
    wanted = {"org": org, "user": user, "most": MOST}
    accounts = await call.services.rows(ACCOUNTS, wanted)
    addresses = [row["address"] for row in accounts]
    subjects = [f"budget/{user}", f"storage/{user}", *(f"account/{address}" for address in addresses)]
    holds, generations, groups, purchases = await gather(
        call.services.rows(HOLDS, wanted | {"addresses": addresses}),
        call.services.rows(GENERATIONS, wanted),
        call.services.rows(GROUPS, wanted),
        call.services.rows(PURCHASES, wanted),
    )
    refusals, alerts, timeline = await gather(
        call.services.rows(REFUSALS, wanted),
        call.services.rows(ALERTS, wanted | {"subjects": subjects}),
        _timeline(call, addresses, limit, cursor),
    )
    storage = await ask(call.services, org, StorageNow(user=user, default_limit=call.services.defaults.storage_limit))
    budget = await ask(call.services, org, BudgetNow(user=user))
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


async def _timeline(call: Call, addresses: list[str], limit: int, cursor: str | None) -> dict[str, Any]:
    pages = cursors(call, "timeline", call.id)
    position, line = pages.decode(cursor, int, int) if cursor else (LAST, 0)
    wanted = {"org": call.org, "user": call.id, "addresses": addresses, "position": position, "line": line}
    rows: list[Row] = await call.services.rows(TIMELINE, wanted | {"limit": limit + 1})
    return pages.page(rows, limit, lambda row: [row["position"], row["line"]], _timeline_line)


def _refusal(row: Row) -> dict[str, Any]:
    """A refused generation with its money as text."""
    if row["reason"] == BUDGET_EXCEEDED:
        row["deficit"] = decimal_text(row["deficit"])
    row["checks"] = [_check(check) for check in row["checks"]]
    return row


def _check(check: dict[str, Any]) -> dict[str, Any]:
    if not RESOURCES.shown(check["resource"]).money:
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


async def _known_users(call: Call, names: str) -> dict[str, Any]:
    """Of the ids in `names` (by commas) the users that are known, as `items`, and the others.

    `unknown` ids may be added all the same: a user exists from the first use. `repeated` are named more than once,
    `invalid` can be nobody's. Raises Problem (422) for more than 200.
    """
    named = [name for name in (each.strip() for each in names.split(",")) if name]
    if len(named) > MOST_NAMED:
        raise invalid("ids", f"must be at most {MOST_NAMED}", limit=MOST_NAMED)
    times = Counter(named)
    ids = [name for name in times if is_id(name)]
    rows = await call.services.rows(_KNOWN, {"org": call.org, "ids": ids}) if ids else []
    known = {row["user_id"] for row in rows}
    return {
        "items": rows,
        "next_cursor": None,
        "unknown": [name for name in ids if name not in known],
        "repeated": [name for name, count in times.items() if count > 1],
        "invalid": [name for name in times if not is_id(name)],
    }


def _unit(row: Row) -> str:
    return str(row["subject"]).rpartition(":")[2]


def _moved(verb: str) -> Say:
    return lambda row: f"{abs(row['amount'])} {_unit(row)} {verb}{_for(row)}."


def _for(row: Row) -> str:
    return f" for {row['about']}" if row["about"] else ""


def _generation(verb: str) -> Say:
    def say(row: Row) -> str:
        what = f"{row['subject']} with {row['about']}" if row["about"] else str(row["subject"])
        because = f" ({row['reason']})" if row["reason"] else ""
        return f"Generation of {what} {verb}{because}."

    return say


def _purchase(verb: str) -> Say:
    return lambda row: f"Purchase of {row['subject']} for {decimal_text(row['amount'])} {row['about']} {verb}."


_SENTENCES: dict[str, Say] = {
    "granted": _moved("granted"),
    "grant_expired": _moved("expired"),
    "grant_voided": _moved("taken back"),
    "reserved": _moved("held"),
    "returned": _moved("came back from a hold"),
    "captured": _moved("charged from a hold"),
    "released": _moved("released from a hold"),
    "expired": _moved("came back from a hold that ran out"),
    "debited": _moved("charged"),
    "refunded": _moved("refunded"),
    "transferred_in": _moved("received"),
    "transferred_out": _moved("given away"),
    "shortfall_collected": _moved("collected for what was owed"),
    "generation_created": _generation("allowed"),
    "generation_refused": _generation("refused"),
    "generation_completed": _generation("completed"),
    "generation_failed": _generation("failed"),
    "generation_cancelled": _generation("called off"),
    "generation_expired": _generation("ran out of time"),
    "generation_settled_late": _generation("completed late"),
    "content_stored": lambda row: f"Content of {row['amount']} bytes stored.",
    "content_deleted": lambda row: f"Content of {row['amount']} bytes deleted.",
    "purchase_started": _purchase("started"),
    "purchase_completed": _purchase("completed"),
    "purchase_failed": _purchase("failed"),
    "group_joined": lambda row: f"Joined the group {row['subject']}.",
}


def _timeline_line(row: Row) -> dict[str, Any]:
    """A line of the timeline; what this version has no sentence for is named by its kind."""
    say = _SENTENCES.get(row["kind"])
    return {
        "at": row["at"],
        "kind": row["kind"],
        "id": row["id"],
        "text": say(row) if say else f"{row['kind'].replace('_', ' ')}.",
        "actor": row["actor"],
        "position": format_position(row["position"]),
    }
