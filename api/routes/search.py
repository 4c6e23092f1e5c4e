"""One search for support: who or what is it that somebody wrote in about?"""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel

from api.counted_text import amount_of_unit, counted
from api.database import Row
from api.http.caller import Call
from api.http.endpoint import MinPosition, endpoint
from api.http.policy import May
from api.reading import Json, seen
from api.support_queries import USERS
from domain.credits.address import parse_address
from domain.ids import is_id
from domain.money import decimal_text
from infra.security.principal import Role

MOST = 10  # of each kind
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
) -> Json:
    """Users, generations, payments and more by how their ids begin."""
    await seen(call, min_position)
    text = q.strip()
    return Json({"query": text, "hits": await _hits(call, text) if text else []})


async def _hits(call: Call, text: str) -> list[dict[str, Any]]:
    wanted = {"org": call.org, "q": text, "most": MOST}
    hits: list[dict[str, Any]] = []
    if is_id(text):
        users = await call.services.rows(USERS, {"org": call.org, "prefix": text, "after": "", "limit": MOST})
        hits += [_user(row) for row in users]
    hits += [_hit(row) for row in await call.services.rows(_FOUND, wanted)]
    if call.principal.role is Role.ADMIN:
        rows = await call.services.rows_of_all(_ORGANISATIONS, wanted)
        hits += [_told("organisation", row["id"], f"Organisation {row['id']}", f"Plan {row['plan']}") for row in rows]
    for hit in hits:
        hit["exact"] = text in (hit["id"], hit.pop("payment_ref", None))
    return sorted(hits, key=lambda hit: not hit["exact"])


def _told(kind: Kind, id_: str, label: str, detail: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "id": id_, "label": label, "detail": detail, "user_id": None, "account": None, **more}


def _user(row: Row) -> dict[str, Any]:
    detail = f"{counted(row['credits_available'], 'credit')} available, {row['credits_reserved']:,} held"
    return _told("user", row["user_id"], row["user_id"], detail, user_id=row["user_id"])


def _hit(row: Row) -> dict[str, Any]:
    facts, account = row["facts"], row["account"]
    label, detail = _words(row["kind"], facts, parse_address(account).unit if account else "")
    told = _told(row["kind"], row["id"], label, detail, account=account, at=facts["at"])
    told["user_id"] = row["user_id"] or _holder(account)
    return told | {"payment_ref": facts.get("payment_ref")}


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
