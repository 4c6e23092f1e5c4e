"""Usage events that could not be applied: kept with their reason until they are, and never silently dropped."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from infra.log.statements import columns

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

    `content` tells events apart that share an identity they should not share.
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


async def open_reasons(connection: Connection, org: str, source: str) -> dict[str, int]:
    """How many events of a source wait in quarantine, by reason."""
    result = await connection.execute(
        "select reason, count(*) from quarantine where org = %b and source = %b and resolved_at is null"
        " group by reason order by reason",
        (org, source),
    )
    return {row[0]: int(row[1]) for row in await result.fetchall()}


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
