"""Whose reservation it is: a worker's message names only the reservation, the ledger works by account."""

from collections.abc import Collection

from domain.credits.address import address_of, reservation_tag
from infra.event_log import columns
from infra.quarantine import Connection

# Captures are tagged with their debit; everything else about a reservation is in its account's stream.
_STREAMS = """
    select wanted.org, wanted.id, e.stream
    from unnest(%b::text[], %b::text[], %b::text[]) as wanted (org, id, tag)
    cross join lateral (select stream from events where org = wanted.org and tag = wanted.tag limit 1) e"""

ReservationKey = tuple[str, str]  # organisation, reservation id


async def accounts_of(connection: Connection, reservations: Collection[ReservationKey]) -> dict[ReservationKey, str]:
    """The accounts that hold these reservations, open or ended; unknown ones are missing. One query for all."""
    if not reservations:
        return {}
    wanted = [(org, id_, reservation_tag(id_)) for org, id_ in reservations]
    result = await connection.execute(_STREAMS, columns(wanted, 3))
    return {(org, id_): address_of(stream) for org, id_, stream in await result.fetchall()}
