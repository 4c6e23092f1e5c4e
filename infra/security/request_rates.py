"""How often a caller may ask, over all processes together (S2: 10 requests per 60 s and user, for generations)."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from time import monotonic
from typing import Any

from psycopg_pool import AsyncConnectionPool

REFUSED_S = 1.0  # a refusal is remembered for so long, and answered without asking the database
REFUSED = 20_000  # callers whose refusals are remembered
LOOKS = 10  # requests with a key that still ask the database in that time: one that has its answer may always
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
        (select extract(epoch from min(h) + %(window)s - now.at)::float8
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


@dataclass(slots=True)
class _Refusal:
    """`known_until`: until it is asked for again, `ends`: when the caller may ask; both as `monotonic`."""

    limit: Limit
    known_until: float
    ends: float
    looks: int = 0


class RequestRates:
    """A sliding window for each caller, kept in PostgreSQL (`pool`: login scrip_writer, autocommit).

    In the database, because a window in each API process would allow the limit once per process, and processes come
    and go; the row's lock makes it exact. It costs a user's request one round trip and no disk write, and when the
    database is away the command could not be decided either, so nothing passes uncounted.

    A refusal is remembered for a moment in this process, so that a caller who goes on asking costs almost no
    statements. Nothing that passes is decided from memory.
    """

    def __init__(self, pool: "AsyncConnectionPool[Any]") -> None:
        self._pool = pool
        self._counted = 0
        self._refusals: OrderedDict[tuple[str, str], _Refusal] = OrderedDict()

    async def wait_s(self, org: str, caller: str, limit: Limit, key: str | None) -> int:
        """0 if the caller may ask now, which counts; else the whole seconds (from 1) until they may.

        A request whose idempotency `key` has its answer already (none: it has no key) may always, and does not
        count. Raises psycopg.Error; psycopg_pool's PoolTimeout and TooManyRequests.
        """
        refusal = self._remembered((org, caller), limit)
        if refusal is not None:
            if key is None or refusal.looks >= LOOKS:
                return max(1, ceil(refusal.ends - monotonic()))
            refusal.looks += 1
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
        if known:
            return 0
        left = wait_s or 0.0
        if refusal is None:
            self._remember((org, caller), limit, left)
        return max(1, ceil(left))

    def _remembered(self, who: tuple[str, str], limit: Limit) -> _Refusal | None:
        refusal = self._refusals.get(who)
        if refusal is None:
            return None
        if refusal.known_until > monotonic() and refusal.limit == limit:
            return refusal
        del self._refusals[who]
        return None

    def _remember(self, who: tuple[str, str], limit: Limit, left: float) -> None:
        now = monotonic()
        self._refusals[who] = _Refusal(limit, now + min(left, REFUSED_S), now + left)
        self._refusals.move_to_end(who)
        if len(self._refusals) > REFUSED:
            self._refusals.popitem(last=False)
