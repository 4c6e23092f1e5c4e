"""How often a caller may ask, over all processes together (S2: 10 requests per 60 s and user, for generations)."""

from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

from psycopg_pool import AsyncConnectionPool

CLEAN_EVERY = 1_000  # counted requests of this process, after which it drops what no longer counts

_COUNT = """
    insert into request_rates as r (org, caller, hits)
    select %(org)s, %(caller)s, array[scrip_now()]
    where not exists (select from commands where org = %(org)s and caller = %(caller)s and key = %(key)s::text)
    on conflict (org, caller) do update
    set hits = array(select h from unnest(r.hits) h where h > excluded.hits[1] - %(window)s) || excluded.hits
    where (select count(*) from unnest(r.hits) h where h > excluded.hits[1] - %(window)s) < %(limit)s
    returning 1"""
_WAIT = """
    select exists (select from commands where org = %(org)s and caller = %(caller)s and key = %(key)s::text) as known,
        (select extract(epoch from min(h) + %(window)s - now.at)
         from request_rates r, unnest(r.hits) h
         where r.org = %(org)s and r.caller = %(caller)s and h > now.at - %(window)s) as wait_s
    from (select scrip_now() as at) now"""
_CLEAN = """
    delete from request_rates r
    where not exists (select from unnest(r.hits) h where h > scrip_now() - %(window)s)"""


@dataclass(frozen=True, slots=True)
class Limit:
    """`requests` (from 1) in any `window_s` seconds."""

    requests: int
    window_s: int


class RequestRates:
    """A sliding window for each caller, kept in PostgreSQL (`pool`: login scrip_writer, autocommit).

    In the database, because a window in each API process would allow the limit once per process, and processes come
    and go; the row's lock makes it exact. It costs a user's request one round trip and no disk write, and when the
    database is away the command could not be decided either, so nothing passes uncounted.
    """

    def __init__(self, pool: "AsyncConnectionPool[Any]") -> None:
        self._pool = pool
        self._counted = 0

    async def wait_s(self, org: str, caller: str, limit: Limit, key: str | None) -> int:
        """0 if the caller may ask now, which counts; else the whole seconds (from 1) until they may.

        A request whose idempotency `key` has its answer already (none: it has no key) may always, and does not
        count. Raises psycopg.Error; psycopg_pool's PoolTimeout and TooManyRequests.
        """
        window = timedelta(seconds=limit.window_s)
        asked = {"org": org, "caller": caller, "key": key, "limit": limit.requests, "window": window}
        async with self._pool.connection() as connection:
            if (await connection.execute(_COUNT, asked)).rowcount:
                self._counted += 1
                if self._counted % CLEAN_EVERY == 0:
                    await connection.execute(_CLEAN, asked)
                return 0
            row = await (await connection.execute(_WAIT, asked)).fetchone()
        known, wait_s = row if row is not None else (False, None)
        return 0 if known else max(1, ceil(wait_s or 0))
