"""How much of what can never be applied is kept in quarantine: anybody who reaches the broker can send it for ever."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from infra.log.statements import columns
from infra.partitions import PLATFORM
from infra.quarantine import UNREADABLE, Connection, quarantine_id

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
    platform where there is no more room for anybody.

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
        await _count(connection, list(out.values()), everybody=in_all <= 0)
    return set(out)


async def _count(connection: Connection, out: Sequence[Unfit], *, everybody: bool) -> None:
    counts: Counter[str] = Counter()
    last: dict[str, Unfit] = {}
    for event in out:
        org = PLATFORM if everybody else event.org
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
    from unnest(%b::text[], %b::text[], %b::int[], %b::text[]) as told (id, org, count, detail)
    on conflict (id) do update set attempts = least(q.attempts::bigint + excluded.attempts, 2147483647)::int,
        detail = excluded.detail, tried_at = scrip_now(), resolved_at = null"""
