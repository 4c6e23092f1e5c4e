"""Usage events that could not be applied: kept with their reason until they are, and never silently dropped.

What can never be applied is kept up to a bound: any client of the broker can send it for ever.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from infra.log.statements import columns
from infra.partitions import PLATFORM

CALLER = "usage|"  # `commands.caller` of a usage event is this and its CloudEvents source
UNREADABLE = "kafka"  # the source of a record whose own identity cannot be read; its id is topic/partition/offset

Connection = AsyncConnection[Any]


class Parked(NamedTuple):
    """A row to be. `body` is sealed for the subject `org:{org}`.

    `fingerprint` is that of the content which waits under this id; none where the content can never be applied.
    """

    id: str
    org: str
    source: str
    event_id: str
    reason: str
    detail: str
    body: str
    fingerprint: bytes | None


class NotQuarantined(LookupError):
    """The organisation has no such row in quarantine."""


class Waiting(NamedTuple):
    """An open or resolved row, as a retry needs it."""

    id: str
    org: str
    source: str
    event_id: str
    reason: str
    detail: str
    body: str
    resolved: bool


def quarantine_id(org: str, source: str, event_id: str, content: bytes = b"") -> str:
    """The row's id: a hash over length-prefixed parts, so that the same event always meets the same row.

    `content` distinguishes events that share an identity which they should not share.
    """
    parts = (org.encode(), source.encode(), event_id.encode(), content)
    return sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()[:32]


async def park(connection: Connection, rows: Iterable[Parked]) -> set[str]:
    """Insert or refresh rows; the ids of those whose record is not on `scrip.quarantine` yet.

    A resolved row stays resolved. `connection` must be in autocommit mode. Sorted by id, so that two intakes never
    wait for each other in a circle.
    """
    unique = sorted({row.id: row for row in rows}.values())
    if not unique:
        return set()
    result = await connection.execute(_PARK, columns(unique, len(Parked._fields)))
    unpublished = {row[0] for row in await result.fetchall()}
    # Another intake may have applied the event meanwhile. It resolves the row if it sees it; if it looked before the
    # row was committed, its command was committed before that, and this later transaction sees it.
    await connection.execute(_RESOLVE_APPLIED, ([row.id for row in unique if row.fingerprint is not None],))
    shared = {quarantine_id(row.org, row.source, row.event_id) for row in unique} - {row.id for row in unique}
    if shared:  # another content under the id of a waiting event was decided: `undecided` asks by the shared id
        await connection.execute("update quarantine set tried_at = scrip_now() where id = any(%b)", (sorted(shared),))
    return unpublished


async def mark_published(connection: Connection, ids: Sequence[str]) -> None:
    """Note that the rows' records are on the topic."""
    await connection.execute("update quarantine set published_at = scrip_now() where id = any(%b)", (sorted(ids),))


async def fingerprints(connection: Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """Of these ids the open rows, with the fingerprint of the content that waits under each."""
    result = await connection.execute(_FINGERPRINTS, (ids,))
    return {row[0]: bytes(row[1]) for row in await result.fetchall()}


async def resolve(connection: Connection, ids: Sequence[str]) -> int:
    """Mark rows whose event has been applied; how many were open. `ids` may name events that never had a row."""
    result = await connection.execute(_RESOLVE, (ids,))
    return result.rowcount


async def find(connection: Connection, id_: str) -> Waiting | None:
    """One row."""
    result = await connection.execute(
        "select id, org, source, event_id, reason, detail, body, resolved_at is not null from quarantine where id = %b",
        (id_,),
    )
    row = await result.fetchone()
    return Waiting(*row) if row else None


async def undecided(connection: Connection, org: str, source: str, ids: Sequence[str], since: datetime) -> list[str]:
    """Of the usage events with these ids those that have neither been applied nor refused since `since`.

    This is how `scrip import` waits: take the database's time (`scrip_now()`), send the events, then call this with
    what it returned the last time until nothing is left. An event that was refused before `since` is only decided
    when the new copy has been tried.
    """
    hashes = [quarantine_id(org, source, event_id) for event_id in ids]
    result = await connection.execute(_UNDECIDED, (list(ids), hashes, org, CALLER + source, since))
    return [row[0] for row in await result.fetchall()]


_PARK = """
    insert into quarantine (id, org, source, event_id, reason, detail, body, fingerprint)
    select * from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
                         %b::bytea[])
    on conflict (id) do update set
        reason = excluded.reason, detail = excluded.detail, body = excluded.body, fingerprint = excluded.fingerprint,
        attempts = quarantine.attempts + 1, tried_at = scrip_now(),
        published_at = case when quarantine.reason = excluded.reason then quarantine.published_at end
    where quarantine.resolved_at is null
    returning id, published_at"""
_PARK = f"with parked as ({_PARK}) select id from parked where published_at is null"

_RESOLVE_APPLIED = f"""
    update quarantine q set resolved_at = scrip_now()
    where q.id = any(%b) and q.resolved_at is null and exists (
        select from commands c where c.org = q.org and c.caller = '{CALLER}' || q.source and c.key = q.event_id
    )"""

_FINGERPRINTS = """
    select id, fingerprint from quarantine
    where id = any(%b) and resolved_at is null and fingerprint is not null"""

_RESOLVE = """
    update quarantine set resolved_at = scrip_now()
    where id in (select id from quarantine where id = any(%b) and resolved_at is null order by id for update)"""

# `offset 0` keeps the planner at one index look-up for each key: tables that just grew have no statistics, and
# an anti-join planned without them compared every key with every row.
_UNDECIDED = """
    select wanted.key from unnest(%b::text[], %b::text[]) as wanted (key, parked)
    left join lateral (
        select true as found from commands c
        where c.org = %b and c.caller = %b and c.key = wanted.key limit 1 offset 0
    ) applied on true
    left join lateral (
        select true as found from quarantine q where q.id = wanted.parked and q.tried_at >= %b limit 1 offset 0
    ) waiting on true
    where applied.found is null and waiting.found is null"""


MAX_OF_ORG = 10_000  # open rows of an organisation: enough to see what is wrong with a sender
MAX_IN_ALL = 100_000  # and of all together, because who sends may name any organisation
LEFT_OUT = "left_out"  # the reason of the row that counts those beyond, and its event id


class Unfit(NamedTuple):
    """An event that cannot be applied as it is: the row that it would get, and why."""

    id: str
    org: str
    event_id: str
    detail: str


async def leave_out(connection: Connection, events: Sequence[Unfit]) -> set[str]:
    """The ids of those for which there is no room. They are counted in one row of their organisation, or of the
    platform where all together have no more room.

    What may be applied later is not asked about: it always has room. `connection` must be in autocommit mode.
    """
    unique = {event.id: event for event in events}
    if not unique:
        return set()
    orgs = sorted({event.org for event in unique.values()})
    rows = await (await connection.execute(_ROOM, (list(unique), orgs))).fetchall()
    known = {id_ for _, _, _, there in rows for id_ in there}
    room, in_all = {org: of_org for org, of_org, _, _ in rows}, rows[0][2]
    out: dict[str, Unfit] = {}
    for event in unique.values():
        if event.id in known:  # it has its row, and is only tried once more
            continue
        if room[event.org] <= 0 or in_all <= 0:
            out[event.id] = event
            continue
        room[event.org] -= 1
        in_all -= 1
    if out:
        await _count(connection, list(out.values()), for_all=in_all <= 0)
    return set(out)


async def _count(connection: Connection, out: Sequence[Unfit], *, for_all: bool) -> None:
    counts: Counter[str] = Counter()
    last: dict[str, Unfit] = {}
    for event in out:
        org = PLATFORM if for_all else event.org
        counts[org] += 1
        last[org] = event
    rows = [(quarantine_id(org, UNREADABLE, LEFT_OUT), org, counts[org], _said(last[org])) for org in sorted(counts)]
    await connection.execute(_COUNT, columns(rows, 4))


def _said(last: Unfit) -> str:
    return f"`attempts` counts events that have no row of their own. The last was {last.event_id}: {last.detail}"[
        :1_000
    ]


# For each organisation: for how many more it has room, for how many all have, and which have their row already.
_ROOM = f"""
    select o.org,
        {MAX_OF_ORG} - (select count(*) from (
            select from quarantine q where q.org = o.org and resolved_at is null and fingerprint is null
            limit {MAX_OF_ORG}) of_org),
        {MAX_IN_ALL} - (select count(*) from (
            select from quarantine q where resolved_at is null and fingerprint is null limit {MAX_IN_ALL}) in_all),
        array(select id from quarantine q where q.org = o.org and id = any(%b::text[]))
    from unnest(%b::text[]) as o (org) order by 1"""

# Never put on the topic, which would grow with it: so it counts as published.
_COUNT = f"""
    insert into quarantine as q (id, org, source, event_id, reason, detail, body, attempts, published_at)
    select id, org, '{UNREADABLE}', '{LEFT_OUT}', '{LEFT_OUT}', detail, '', count, scrip_now()
    from unnest(%b::text[], %b::text[], %b::int[], %b::text[]) as counted (id, org, count, detail)
    on conflict (id) do update set attempts = least(q.attempts::bigint + excluded.attempts, 2147483647)::int,
        detail = excluded.detail, tried_at = scrip_now(), resolved_at = null"""
