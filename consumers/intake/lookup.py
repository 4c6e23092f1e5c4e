"""What a worker's message is about: it names only a generation or reservation, the ledger works by stream."""

from collections.abc import Collection
from typing import NamedTuple

from domain.credits.address import address_of, parse_address, reservation_tag
from domain.generations.state import stream_of
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.log.statements import columns
from infra.quarantine import Connection

# A generation's holds on accounts have its tag too, so the generation is looked for first. Captures are tagged with
# their debit; everything else about a reservation is in its account's stream.
_WORK = """
    select wanted.org, wanted.id, e.stream, e.type, e.data
    from unnest(%b::text[], %b::text[], %b::text[], %b::text[]) as wanted (org, id, stream, tag)
    cross join lateral (
        (select 1 as turn, stream, type, data from events
         where org = wanted.org and events.stream = wanted.stream and type like 'generation-held.%%'
         order by version limit 1)
        union all
        (select 2, stream, null, null from events where org = wanted.org and tag = wanted.tag limit 1)
        order by turn limit 1
    ) e"""

WorkKey = tuple[str, str]  # organisation, id of a generation or reservation

_codec = LedgerMapper.of(SCRIP)


class Work(NamedTuple):
    """What the message is about: whose key seals its text, and the account of a bare reservation (none otherwise)."""

    owner: str
    address: str | None


async def work_of(connection: Connection, wanted: Collection[WorkKey]) -> dict[WorkKey, Work]:
    """The generations and reservations of these ids, open or ended; unknown ones are missing. One query for all."""
    if not wanted:
        return {}
    rows = [(org, id_, stream_of(id_), reservation_tag(id_)) for org, id_ in wanted]
    result = await connection.execute(_WORK, columns(rows, 4))
    return {(org, id_): _work(stream, type_, data) for org, id_, stream, type_, data in await result.fetchall()}


def _work(stream: str, type_: str | None, data: bytes | None) -> Work:
    if type_ is None or data is None:
        address = address_of(stream)
        return Work(parse_address(address).owner, address)
    return Work(f"user:{_codec.decode(type_, data).user}", None)
