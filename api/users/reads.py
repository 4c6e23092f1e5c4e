"""Users: all there is of one, lists of them, session tokens, and the search over everything."""

from asyncio import gather
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel

from api.budgets import figures_of
from api.generations.answers import check_answer
from api.generations.reads import amount_of_unit, counted
from api.http.caller import Call, own_only
from api.http.database import Row
from api.http.endpoint import MinPosition, endpoint
from api.http.lists import LAST, IdPrefix, Page, Pages, page_of, seen
from api.http.policy import May
from api.http.problems import invalid
from api.plans.purchases import SHOWN_OF_PURCHASES, shown_purchase
from domain.budgets.commands import BudgetNow, BudgetUse
from domain.credits.address import parse_address
from domain.ids import is_id
from domain.money import decimal_text
from domain.storage.state import StorageNow, StorageUse
from infra.position import format_position
from infra.security.principal import Role

ACCOUNTS = """
    select address, unit, granted, debited, refunded, expired, reserved, available, frozen, closed, credit_limit,
        shortfall, greatest(0, -available) as overdrawn, updated_at
    from read.balances where org = %(org)s and owner_type = 'user' and owner_id = %(user)s
    order by address limit %(most)s"""
HOLDS = """
    select r.id as reservation_id, r.address, r.amount, r."left", r.generation, r.item, r.created_at, r.expires_at
    from read.reservations r
    where r.org = %(org)s and r.address = any(%(addresses)s) and r.status = 'held'
    order by r.created_position desc limit %(most)s"""
GENERATIONS = """
    select id as generation_id, operation, provider, model, status, reason, outcome, quoted_credits, quoted_tokens,
        charged_credits, charged_tokens, parent_id, created_at, ended_at, expires_at
    from read.generations where org = %(org)s and user_id = %(user)s
    order by created_position desc limit %(most)s"""
GROUPS = """
    select g.id, g.name, m.joined_at, g.limits, g.used, g.held, g.every as period, g.period_end
    from read.members m join read.groups g on g.org = m.org and g.id = m.group_id
    where m.org = %(org)s and m.user_id = %(user)s order by m.position limit %(most)s"""
PURCHASES = f"""
    select {SHOWN_OF_PURCHASES} from read.purchases where org = %(org)s and user_id = %(user)s
    order by created_position desc limit %(most)s"""
REFUSALS = """
    select generation_id, operation, model, reason, deficit, checks, at
    from read.refusals where org = %(org)s and user_id = %(user)s order by position desc limit %(most)s"""
ALERTS = """
    select id::text, rule, severity, message, at from alerts
    where org = %(org)s and (user_id = %(user)s or subject = any(%(subjects)s))
    order by id desc limit %(most)s"""

_HELD_BY = """
    select n.user_id, coalesce(c.available, 0) as credits_available, coalesce(c.reserved, 0) as credits_reserved,
        coalesce(t.available, 0) as tokens_available, coalesce(s.used, 0) as storage_used
    from {users} n
    left join read.balances c on c.org = %(org)s and c.address = 'user:' || n.user_id || ':credits'
    left join read.balances t on t.org = %(org)s and t.address = 'user:' || n.user_id || ':tokens'
    left join read.storages s on s.org = %(org)s and s.user_id = n.user_id"""
# Users leave their names in several tables. Those with a row for each user are read by their keys; of generations,
# which are many, one row for each user is looked up, from name to name.
USERS = f"""
    with recursive busy as (
        (select user_id from read.generations where org = %(org)s and user_id > %(after)s
            and user_id >= %(prefix)s order by user_id limit 1)
        union all
        select (select g.user_id from read.generations g where g.org = %(org)s and g.user_id > busy.user_id
            order by g.user_id limit 1)
        from busy where busy.user_id is not null
    ), named as (
        (select user_id from busy where user_id is not null limit %(limit)s)
        union
        (select owner_id from read.balances where org = %(org)s and owner_type = 'user'
            and address >= 'user:' || %(prefix)s and starts_with(address, 'user:' || %(prefix)s)
            and owner_id > %(after)s group by owner_id order by owner_id limit %(limit)s)
        union
        (select user_id from read.storages where org = %(org)s and user_id > %(after)s
            and starts_with(user_id, %(prefix)s) order by user_id limit %(limit)s)
        union
        (select user_id from read.budgets where org = %(org)s and user_id > %(after)s
            and starts_with(user_id, %(prefix)s) order by user_id limit %(limit)s)
        union
        (select distinct user_id from read.members where org = %(org)s and user_id > %(after)s
            and starts_with(user_id, %(prefix)s) order by user_id limit %(limit)s)
    )
    {_HELD_BY.format(users="named")}
    where starts_with(n.user_id, %(prefix)s)
    order by n.user_id limit %(limit)s"""

# One position can have several lines; `line` tells them apart. Each part gives as many as the whole page may have.
_PAGE = "and (position, line) < (%(position)s, %(line)s) order by position desc, line desc limit %(limit)s"
_OF_USER = "org = %(org)s and user_id = %(user)s"
_NOT_SAID = "null::text as about, null::text as actor, null::text as reason"
_HAPPENED = (
    """
    select position, n::int as line, created_at as at, type as kind, address as subject,
        coalesce(generation_id, reservation_id, debit_id, grant_id, transfer_id, refund_id) as id,
        amount, item as about, actor, null::text as reason
    from read.transactions where org = %(org)s and address = any(%(addresses)s) and position <= %(position)s""",
    f"""
    select created_position as position, 1000 as line, created_at as at,
        case when status = 'refused' then 'generation_refused' else 'generation_created' end as kind,
        operation as subject, id, quoted_credits as amount, coalesce(model, item) as about, actor, reason
    from read.generations where {_OF_USER} and created_position <= %(position)s""",
    f"""
    select position, 1001 as line, ended_at as at, 'generation_' || status as kind, operation as subject, id,
        charged_credits as amount, coalesce(model, item) as about, null::text as actor, outcome as reason
    from read.generations where {_OF_USER} and ended_at is not null and status <> 'refused'""",
    f"""
    select created_position as position, 1002 as line, created_at as at, 'content_stored' as kind,
        generation_id as subject, id, bytes as amount, {_NOT_SAID}
    from read.contents where {_OF_USER}""",
    f"""
    select position, 1003 as line, deleted_at as at, 'content_deleted' as kind,
        generation_id as subject, id, bytes as amount, {_NOT_SAID}
    from read.contents where {_OF_USER} and deleted_at is not null""",
    f"""
    select created_position as position, 1004 as line, created_at as at, 'purchase_started' as kind,
        coalesce(plan, package ->> 'name') as subject, id, price as amount, currency as about,
        null::text as actor, null::text as reason
    from read.purchases where {_OF_USER}""",
    f"""
    select position, 1005 as line, ended_at as at, 'purchase_' || status as kind,
        coalesce(plan, package ->> 'name') as subject, id, price as amount, currency as about,
        null::text as actor, reason
    from read.purchases where {_OF_USER} and ended_at is not null""",
    f"""
    select position, 1006 as line, joined_at as at, 'group_joined' as kind, group_id as subject,
        group_id as id, null::bigint as amount, {_NOT_SAID}
    from read.members where {_OF_USER}""",
)
_PAGES = " union all ".join(f"(select * from ({part}) part where true {_PAGE})" for part in _HAPPENED)
TIMELINE = f"""
    select * from ({_PAGES}) merged
    order by position desc, line desc limit %(limit)s"""


BUDGET_EXCEEDED = "budget_exceeded"
MOST = 20  # of each list; the timeline goes on with its cursor
MOST_NAMED = 200  # names in one question
# Users leave their names in several tables; each is looked up by its key.
_KNOWN = f"""
    {_HELD_BY.format(users='(select unnest(%(ids)s::text[]) collate "C" as user_id)')}
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
    page: Page,
    prefix: IdPrefix = "",
    ids: Annotated[
        str | None, Query(max_length=60_000, description=f"At most {MOST_NAMED} ids by commas: which are known?")
    ] = None,
) -> dict[str, Any]:
    """The organisation's users."""
    await page.wait(call)
    if ids is not None:
        return await _known_users(call, ids)
    pages = page.cursors(call, "users", prefix)
    return pages.page(await pages.rows(USERS, {"after": ""}, prefix=prefix), ["user_id"])


@endpoint("GET /api/v1/users/{id}", May.READ_OWN_USER, UserAnswer)
async def read_user(call: Call, page: Page, id: str) -> dict[str, Any]:
    """Everything about one user."""
    own_only(call, id)
    return await _everything(call, await page.of(call, "timeline", id))


async def _everything(call: Call, pages: Pages) -> dict[str, Any]:
    user = call.id
    wanted = {"user": user, "most": MOST}
    accounts = await call.rows(ACCOUNTS, **wanted)
    addresses = [row["address"] for row in accounts]
    subjects = [f"budget/{user}", f"storage/{user}", *(f"account/{address}" for address in addresses)]
    holds, generations, groups, purchases = await gather(
        call.rows(HOLDS, addresses=addresses, most=MOST),
        call.rows(GENERATIONS, **wanted),
        call.rows(GROUPS, **wanted),
        call.rows(PURCHASES, **wanted),
    )
    refusals, alerts, timeline = await gather(
        call.rows(REFUSALS, **wanted),
        call.rows(ALERTS, **wanted, subjects=subjects),
        _timeline(call, addresses, pages),
    )
    storage = await call.ask(StorageNow(user=user, default_limit=call.services.defaults.storage_limit))
    budget = await call.ask(BudgetNow(user=user))
    stored: StorageUse = storage.value
    spent: BudgetUse = budget.value
    return {
        "user_id": user,
        "exists": bool(accounts or generations or groups or purchases or stored.used or spent.used),
        "accounts": accounts,
        "holds": holds,
        "generations": generations,
        "storage": {**stored._asdict(), "percent": stored.used * 100 // stored.limit if stored.limit else 100},
        "budget": {
            **figures_of(spent),
            "ceiling": decimal_text(spent.ceiling) if spent.ceiling is not None else None,
            "held": decimal_text(spent.held),
        },
        "groups": groups,
        "purchases": [shown_purchase(row) for row in purchases],
        "refusals": [_refusal(row) for row in refusals],
        "alerts": alerts,
        "timeline": timeline,
        "position": format_position(budget.position),
    }


async def _timeline(call: Call, addresses: list[str], pages: Pages) -> dict[str, Any]:
    rows = await pages.rows(TIMELINE, {"position": LAST, "line": 0}, user=call.id, addresses=addresses)
    return pages.page(rows, ["position", "line"], _timeline_line)


def _refusal(row: Row) -> dict[str, Any]:
    """A refused generation with its money as text."""
    if row["reason"] == BUDGET_EXCEEDED:
        row["deficit"] = decimal_text(row["deficit"])
    row["checks"] = [check_answer(check) for check in row["checks"]]
    return row


async def _known_users(call: Call, names: str) -> dict[str, Any]:
    """Of the ids in `names` (by commas) the users that are known, as `items`, and the others.

    `unknown` ids may be added all the same: a user exists from the first use. `repeated` are named more than once,
    `invalid` cannot be the id of any user. Raises Problem (422) for more than 200.
    """
    named = [name for name in (each.strip() for each in names.split(",")) if name]
    if len(named) > MOST_NAMED:
        raise invalid("ids", f"must be at most {MOST_NAMED}", limit=MOST_NAMED)
    times = Counter(named)
    ids = [name for name in times if is_id(name)]
    rows = await call.rows(_KNOWN, ids=ids) if ids else []
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


MOST_HITS = 10  # of each kind

Kind = Literal["user", "generation", "purchase", "grant", "debit", "reservation", "group", "organisation"]
# Each part goes by a key or an index whose order is that of bytes, and is bounded. Holds of a generation have its id,
# so only other reservations are found as such. Payment references and grants are found by the log's tags.
_FOUND = """
    with tagged as (
        (select tag, stream from events where org = %(org)s and tag >= 'payment/' || %(q)s
            and starts_with(tag, 'payment/' || %(q)s) order by tag limit %(most)s * 2)
        union
        (select tag, stream from events where org = %(org)s and tag >= 'grant/' || %(q)s
            and starts_with(tag, 'grant/' || %(q)s) order by tag limit %(most)s * 2)
    )
    (select 'generation' as kind, id, user_id, null as account, jsonb_build_object('operation', operation,
            'model', model, 'status', status, 'at', created_at) as facts
        from read.generations where org = %(org)s and id >= %(q)s and starts_with(id, %(q)s)
        order by id limit %(most)s)
    union all
    (select 'purchase', id, user_id, address, jsonb_build_object('what', coalesce(plan, package ->> 'name'),
            'price', price, 'currency', currency, 'status', status, 'payment_ref', payment_ref, 'at', created_at)
        from read.purchases where org = %(org)s and (
            id in (select id from read.purchases where org = %(org)s and id >= %(q)s and starts_with(id, %(q)s)
                order by id limit %(most)s)
            or id in (select substr(stream, 10) from tagged where starts_with(stream, 'purchase/')))
        order by id limit %(most)s)
    union all
    (select 'grant', g.id, null, g.address, jsonb_build_object('amount', g.amount, 'remaining', g.remaining,
            'source', g.source, 'status', g.status, 'payment_ref', g.external_ref, 'at', g.granted_at)
        from tagged t join read.grants g on g.org = %(org)s and g.address = substr(t.stream, 9)
            and (g.external_ref = substr(t.tag, 9) or g.id = substr(t.tag, 7))
        where starts_with(t.stream, 'account/')
        order by g.id limit %(most)s)
    union all
    (select 'debit', id, null, address, jsonb_build_object('amount', amount, 'refunded', refunded, 'item', item,
            'at', created_at)
        from read.debits where org = %(org)s and id >= %(q)s and starts_with(id, %(q)s)
        order by id limit %(most)s)
    union all
    (select 'reservation', id, null, address, jsonb_build_object('amount', amount, 'status', status, 'at', created_at)
        from read.reservations where org = %(org)s and id >= %(q)s and starts_with(id, %(q)s) and not generation
        order by id limit %(most)s)
    union all
    (select 'group', id, null, null, jsonb_build_object('name', name, 'members', member_count, 'at', created_at)
        from read.groups where org = %(org)s and id >= %(q)s and starts_with(id, %(q)s) and deleted_at is null
        order by id limit %(most)s)"""

_ORGANISATIONS = """
    select org as id, plan from read.organisations where org >= %(q)s and starts_with(org, %(q)s)
    order by org limit %(most)s"""


class Hit(BaseModel):
    """`label` names it, `detail` says how it stands; `user_id` whose it is, `account` which account it is about.

    `exact`: what was searched for is its id or payment reference, not only the beginning of one.
    """

    kind: Kind
    id: str
    label: str
    detail: str
    user_id: str | None = None
    account: str | None = None
    at: str | None = None
    exact: bool


class SearchAnswer(BaseModel):
    """At most 10 of each kind, what matches exactly first."""

    query: str
    hits: list[Hit]


@endpoint("GET /api/v1/search", May.READ_EVENTS, SearchAnswer)
async def search(
    call: Call,
    q: Annotated[
        str,
        Query(min_length=1, max_length=255, description="An id, or how one begins."),
    ],
    min_position: MinPosition = None,
) -> dict[str, Any]:
    """Users, generations, payments and more by how their ids begin."""
    await seen(call, min_position)
    text = q.strip()
    return {"query": text, "hits": await _hits(call, text) if text else []}


async def _hits(call: Call, text: str) -> list[dict[str, Any]]:
    hits: list[dict[str, Any]] = []
    if is_id(text):
        hits += [_user(row) for row in await call.rows(USERS, prefix=text, after="", limit=MOST_HITS)]
    hits += [_hit(row) for row in await call.rows(_FOUND, q=text, most=MOST_HITS)]
    if call.principal.role is Role.ADMIN:
        rows = await call.services.rows_of_all(_ORGANISATIONS, {"q": text, "most": MOST_HITS})
        hits += [_hit_of("organisation", row["id"], f"Organisation {row['id']}", f"Plan {row['plan']}") for row in rows]
    for hit in hits:
        hit["exact"] = text in (hit["id"], hit.pop("payment_ref", None))
    return sorted(hits, key=lambda hit: not hit["exact"])


def _hit_of(kind: Kind, id_: str, label: str, detail: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "id": id_, "label": label, "detail": detail, "user_id": None, "account": None, **more}


def _user(row: Row) -> dict[str, Any]:
    detail = f"{counted(row['credits_available'], 'credit')} available, {row['credits_reserved']:,} held"
    return _hit_of("user", row["user_id"], row["user_id"], detail, user_id=row["user_id"])


def _hit(row: Row) -> dict[str, Any]:
    facts, account = row["facts"], row["account"]
    label, detail = _words(row["kind"], facts, parse_address(account).unit if account else "")
    answer = _hit_of(row["kind"], row["id"], label, detail, account=account, at=facts["at"])
    answer["user_id"] = row["user_id"] or _holder(account)
    return answer | {"payment_ref": facts.get("payment_ref")}


def _holder(account: str | None) -> str | None:
    """The user whose account it is, if it is one's."""
    if account is None:
        return None
    address = parse_address(account)
    return address.owner_id if address.owner_type == "user" else None


def _words(kind: str, facts: dict[str, Any], unit: str) -> tuple[str, str]:
    """A name, and how it stands."""
    status = str(facts.get("status", "")).replace("_", " ")
    match kind:
        case "generation":
            return " ".join(part for part in (facts["operation"], facts["model"]) if part), status
        case "purchase":
            paid = f", payment {facts['payment_ref']}" if facts["payment_ref"] else ""
            return f"{facts['what']}", f"{decimal_text(facts['price'])} {facts['currency']}, {status}{paid}"
        case "grant":
            paid = f", payment {facts['payment_ref']}" if facts["payment_ref"] else ""
            amount = amount_of_unit(facts["amount"], unit)
            return f"{amount} granted ({facts['source']})", f"{facts['remaining']:,} left, {status}{paid}"
        case "debit":
            back = f", {facts['refunded']:,} refunded" if facts["refunded"] else ""
            return f"{amount_of_unit(facts['amount'], unit)} charged", f"{facts['item'] or 'no item'}{back}"
        case "reservation":
            return f"{amount_of_unit(facts['amount'], unit)} held", status
        case _:
            return facts["name"], counted(facts["members"], "member")
