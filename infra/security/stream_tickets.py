"""Tickets that open one live stream once, for browsers, whose EventSource cannot send a login."""

from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

from psycopg_pool import AsyncConnectionPool

from infra.security.principal import Principal, Role

TTL_S = 60
BYTES = 32
MAX_UNUSED = 100  # unused tickets of one login

# What has ended goes when another is made, so that the table never holds more than a minute's.
_ISSUE = """
    with ended as (delete from stream_tickets where expires_at < clock_timestamp())
    insert into stream_tickets (hash, org, sub, role, actor, scopes, expires_at)
    select %(hash)s, %(org)s, %(sub)s, %(role)s, %(actor)s, %(scopes)s::text[], clock_timestamp() + %(ttl)s
    where (
        select count(*) from stream_tickets
        where org = %(org)s and actor = %(actor)s and expires_at >= clock_timestamp()
    ) < %(most)s
    returning expires_at"""
# Deleting is redeeming: of two that come with one ticket, the database lets one delete it.
_REDEEM = """
    delete from stream_tickets where hash = %s
    returning org, sub, role, actor, scopes, expires_at > clock_timestamp()"""


class TooManyTickets(Exception):
    """The login has as many unused tickets as it may have."""


class StreamTickets:
    """Kept in PostgreSQL (`pool`: login scrip_writer, autocommit), where every API process finds and spends them.

    A signed ticket would need a table of those that are spent, and so save nothing.
    """

    def __init__(self, pool: "AsyncConnectionPool[Any]") -> None:
        self._pool = pool

    async def issue(self, principal: Principal, org: str) -> tuple[str, datetime]:
        """A ticket for a stream of `org` as `principal`, and when it ends. Raises TooManyTickets, psycopg.Error."""
        ticket = token_urlsafe(BYTES)
        row = {
            "hash": _hash(ticket),
            "org": org,
            "sub": principal.sub,
            "role": principal.role.value,
            "actor": principal.actor,
            "scopes": None if principal.scopes is None else sorted(principal.scopes),
            "ttl": timedelta(seconds=TTL_S),
            "most": MAX_UNUSED,
        }
        async with self._pool.connection() as connection:
            made = await (await connection.execute(_ISSUE, row)).fetchone()
        if made is None:
            raise TooManyTickets
        return ticket, made[0]

    async def redeem(self, ticket: str) -> Principal | None:
        """Who the ticket was made for, their `org` being the one that it was made for; none if it is no more valid.

        Raises psycopg.Error.
        """
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_REDEEM, (_hash(ticket),))).fetchone()
        if row is None or not row[5]:
            return None
        org, sub, role, actor, scopes, _ = row
        return Principal(org, sub, Role(role), actor, None if scopes is None else frozenset(scopes))


def _hash(ticket: str) -> bytes:
    return sha256(ticket.encode()).digest()
