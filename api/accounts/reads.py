"""Accounts: balances now and at any time, grants, holds, debits, what expires, and every movement."""

from datetime import date, datetime
from functools import partial
from itertools import groupby
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel
from starlette.responses import Response

from api.accounts.answers import (
    AccountRow,
    Balance,
    DebitRow,
    GrantRow,
    ReservationRow,
    Statement,
    TransactionRow,
    account_now,
    as_csv,
    balance_of,
    settings_tag,
)
from api.http.caller import Call
from api.http.database import Row
from api.http.endpoint import MinPosition, endpoint
from api.http.fields import QueryDay, QueryTime
from api.http.lists import LAST, Bom, Json, Page, bounds, moments, open_text, page_of, positioned, renamed, seen
from api.http.policy import USER, May
from api.http.problems import Problem, invalid, not_found
from api.log.reads import MOST_FOLDED, folded, nearest
from domain.credits.account import Account, evolve
from domain.credits.address import stream_of
from domain.credits.due import due
from domain.credits.events import Slice
from domain.money import decimal_text
from domain.periods import NEVER
from infra.position import format_position

# The last version that a stream had at a moment. Times never go back within a stream, so a binary search over the
# versions finds it; the events that came later need not be read.
_REACHED = """
    with recursive newest as (
        select coalesce(max(version), 0) as version from events where org = %(org)s and stream = %(stream)s
    ), search (low, high) as (
        select 0::bigint, version::bigint from newest
        union all
        select case when found.then then middle else low end, case when found.then then high else middle - 1 end
        from (select low, high, (low + high + 1) / 2 as middle from search where low < high) s,
            lateral (
                select time <= %(until)s as then from events
                where org = %(org)s and stream = %(stream)s and version = s.middle
            ) found
    )
    select low as version from search where low = high"""


async def balance_at(
    call: Call, address: str, effective_at: datetime | None, known_at: datetime | None
) -> dict[str, Any]:
    """The balance at `effective_at` by what had been recorded at `known_at`.

    Either defaults to the other. Time that lies beyond what was known is let pass: grants begin and end, holds expire.
    Raises Problem: 422 for a `known_at` in the future and where too many events would have to be folded, 429 and 503
    where too much is folded already.
    """
    now = await call.services.now()
    if known_at is not None and known_at > now:
        raise invalid("known_at", "must not be in the future")
    effective = effective_at or known_at or now
    recorded_by = min(known_at or now, effective)
    stream = stream_of(address)
    async with call.services.folds.enter(call.org, call.principal.actor):
        found = await call.row(_REACHED, stream=stream, until=recorded_by)
        version = found["version"] if found else 0
        after, account = 0, Account()
        if version > MOST_FOLDED:
            after, account = await nearest(call, stream, version)
        account, position = await folded(call, stream, account, after, version)
        account = await call.services.threads.run(_let_pass, account, effective)
    return balance_of(address, account, position or 0, effective)


def _let_pass(account: Account, until: datetime) -> Account:
    for event in due(account, until):
        account = evolve(account, event)
    return account


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
        account, now = await account_now(call, address)
        answer = balance_of(address, account, now.position, now.time)
        return Json(answer, headers={"ETag": settings_tag(account)})
    return Json(await balance_at(call, address, effective_at, known_at))


@endpoint("GET /api/v1/accounts", May.READ_CREDITS, page_of(AccountRow))
async def list_accounts(
    call: Call,
    page: Page,
    prefix: Annotated[str, Query(max_length=767, pattern=r"^[A-Za-z0-9._:@|+=~-]*$")] = "",
    unit: Annotated[str | None, Query(max_length=255)] = None,
) -> dict[str, Any]:
    """List and search accounts."""
    prefix, owner = _own_part(call, prefix)
    pages = await page.of(call, "accounts", prefix, unit or "")
    rows = await pages.rows(_LIST, {"after": ""}, prefix=prefix, unit=unit, owner=owner)
    return pages.page(rows, ["address"], positioned)


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


@endpoint("GET /api/v1/accounts/{address}/grants", May.READ_CREDITS, page_of(GrantRow))
async def list_grants(call: Call, page: Page, address: str) -> dict[str, Any]:
    """An account's grants, with what is left of each."""
    pages = await page.of(call, "grants", address)
    rows = await pages.rows(GRANTS, {"after": ""}, address=address)
    await open_text(call, address, rows)
    return pages.page(rows, ["id"], _grant)


@endpoint("GET /api/v1/accounts/{address}/reservations", May.READ_CREDITS, page_of(ReservationRow))
async def list_reservations(
    call: Call,
    page: Page,
    address: str,
    status: Literal["held", "captured", "released", "expired"] | None = None,
) -> dict[str, Any]:
    """An account's holds, newest first."""
    pages = await page.of(call, "reservations", address, status or "")
    rows = await pages.rows(HOLDS, {"after": LAST}, address=address, status=status)
    await open_text(call, address, rows)
    return pages.page(rows, ["created_position"], _reservation)


@endpoint("GET /api/v1/accounts/{address}/reservations/{id}", May.READ_CREDITS, ReservationRow)
async def read_reservation(call: Call, min_position: MinPosition = None) -> dict[str, Any]:
    """A hold and what has become of it."""
    return _reservation(await _one(call, HOLD, "reservation", min_position))


@endpoint("GET /api/v1/accounts/{address}/debits/{id}", May.READ_CREDITS, DebitRow)
async def read_debit(call: Call, min_position: MinPosition = None) -> dict[str, Any]:
    """A charge and how much of it was given back."""
    return renamed(await _one(call, DEBIT, "debit", min_position), "debit_id")


async def _one(call: Call, query: str, what: str, min_position: str | None) -> Row:
    """What the path names, with its text opened. Raises Problem (404, 503)."""
    await seen(call, min_position)
    row = await call.row(query, address=call.address, id=call.id)
    if row is None:
        raise not_found(what, call.id)
    await open_text(call, call.address, [row])
    return row


def _grant(row: Row) -> dict[str, Any]:
    amount, currency = row.pop("paid_amount"), row.pop("paid_currency")
    row["paid"] = {"amount": decimal_text(amount), "currency": currency} if currency is not None else None
    return renamed(row, "grant_id")


def _reservation(row: Row) -> dict[str, Any]:
    row.pop("created_position")
    return renamed(row, "reservation_id")


MAX_ITEMS = 100  # instants
MAX_GRANTS = 20  # shown for one instant


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
async def list_expirations(call: Call, address: str) -> dict[str, Any]:
    """When what an account has expires."""
    account, now = await account_now(call, address)
    # Grants are in burn order, and a stable sort keeps it within an instant.
    ending = sorted(account.grants, key=_end)
    items = [_item(end, list(parts), account.grants[0]) for end, parts in groupby(ending, key=_end) if end != NEVER]
    total = sum(item["amount"] for item in items)
    return {
        "address": address,
        "items": items[:MAX_ITEMS],
        "total": total,
        "never": account.free - total,
        "truncated": len(items) > MAX_ITEMS,
        "position": format_position(now.position),
        "as_of": now.time,
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


MAX_MOVEMENTS = 10_000
FEW = 500  # movements that are put together without a thread

_MOVEMENT = (
    "position, n, type, amount, balance_after, grant_id, reservation_id, debit_id, refund_id, transfer_id,"
    " counterparty, item, actor, sealed, created_at, generation_id"
)
_OPENING = """
    select balance_after from read.transactions
    where org = %(org)s and address = %(address)s and position < %(first)s
    order by position desc, n desc limit 1"""
_MOVEMENTS = f"""
    select {_MOVEMENT} from read.transactions
    where org = %(org)s and address = %(address)s and position >= %(first)s and position < %(last)s
    order by position, n limit %(limit)s"""

PAGE_OF_MOVEMENTS = f"""
    select {_MOVEMENT} from read.transactions
    where org = %(org)s and address = %(address)s and (position, n) < (%(position)s, %(n)s)
      and (%(type)s::text is null or type = %(type)s)
      and position >= %(first)s and position < %(last)s
    order by position desc, n desc limit %(limit)s"""


@endpoint("GET /api/v1/accounts/{address}/transactions", May.READ_CREDITS, page_of(TransactionRow))
async def list_transactions(
    call: Call,
    page: Page,
    address: str,
    type: Annotated[str | None, Query(max_length=64)] = None,
    from_: Annotated[QueryDay | None, Query(alias="from")] = None,
    to: QueryDay | None = None,
) -> dict[str, Any]:
    """An account's history, newest first."""
    from_, to = await moments(call, from_, to)
    pages = await page.of(call, "transactions", address, type or "")
    first, last = await bounds(call, from_, to)
    start = {"position": LAST, "n": 0}
    rows = await pages.rows(PAGE_OF_MOVEMENTS, start, address=address, type=type, first=first, last=last)
    await open_text(call, address, rows)
    return pages.page(rows, ["position", "n"], _movement)


@endpoint("GET /api/v1/accounts/{address}/statement", May.READ_CREDITS, Statement)
async def read_statement(
    call: Call,
    address: str,
    from_: Annotated[QueryDay | None, Query(alias="from", description="Included.")] = None,
    to: Annotated[QueryDay | None, Query(description="Not included; none for now.")] = None,
    format: Literal["json", "csv", "pdf"] = "json",
    bom: Bom = False,
    min_position: MinPosition = None,
) -> Response:
    """Opening balance, movements and closing balance of a period."""
    from_, to = await moments(call, from_, to)
    await seen(call, min_position)
    statement = await _statement(call, address, from_, to)
    threads = call.services.threads
    if format == "json":
        few = len(statement["movements"]) < FEW
        return Json(statement) if few else await threads.run(Json, statement)
    if format == "csv":
        return _file(await threads.run(as_csv, statement, bom=bom), "text/csv; charset=utf-8", "statement.csv")
    document = await call.services.documents.make(call.org, call.principal.actor, partial(as_pdf, statement))
    return _file(document, "application/pdf", "statement.pdf")


async def _statement(call: Call, address: str, from_: Any, to: Any) -> dict[str, Any]:
    if to is None:
        to = await call.services.now()
    first, last = await bounds(call, from_, to)
    # At the beginning of time nothing was there, so without `from` the opening is zero.
    before = await call.row(_OPENING, address=address, first=first) if from_ is not None else None
    rows = await call.rows(_MOVEMENTS, address=address, first=first, last=last, limit=MAX_MOVEMENTS + 1)
    if len(rows) > MAX_MOVEMENTS:
        raise Problem(
            422,
            "too_many_movements",
            f"The period has more than {MAX_MOVEMENTS} movements. Ask for a shorter one.",
            field="from",
            limit=MAX_MOVEMENTS,
        )
    await open_text(call, address, rows)
    opening = before["balance_after"] if before else 0
    few = len(rows) < FEW
    movements = _movements(rows) if few else await call.services.threads.run(_movements, rows)
    closing = movements[-1]["balance_after"] if movements else opening
    times = {"from": from_, "to": to}
    return {"address": address, **times, "opening": opening, "closing": closing, "movements": movements}


def as_pdf(statement: dict[str, Any]) -> bytes:
    """The document to print. What makes it is loaded with the first one: it is a third of what the API loads."""
    from api.accounts import statement_pdf  # noqa: PLC0415 - see above

    return statement_pdf.as_pdf(statement)


def _file(body: bytes, media_type: str, name: str) -> Response:
    return Response(body, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _movements(rows: list[Row]) -> list[dict[str, Any]]:
    return [_movement(row) for row in rows]


def _movement(row: Row) -> dict[str, Any]:
    """A row of `read.transactions`, its text opened before."""
    n = row.pop("n")
    position = format_position(row.pop("position"))
    row.pop("metadata", None)
    return {"id": f"{position}-{n}", **row, "position": position}
