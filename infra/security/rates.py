"""How often callers may do something.

`RequestRates` counts requests over all processes together (S2: 10 requests per 60 s and user, for generations); `Pace`
and `FailedLogins` count in this process's memory.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic
from typing import Any

from psycopg_pool import AsyncConnectionPool

MOST_KNOWN = 20_000  # callers; above it the one that has been idle longest is forgotten, and starts from 0


class Pace:
    """At most `limit` (from 1) at once, and then as many in `window_s` seconds (from 1), evenly.

    Kept for each key is one number: the moment at which all that was spent is made up for. Counted by process, because
    what this protects is not worth a statement for each request; what must be exact is counted in PostgreSQL
    (`RequestRates`). Memory is bounded by `most_known` keys.
    """

    def __init__(self, limit: int, window_s: int, most_known: int = MOST_KNOWN) -> None:
        self.limit, self.window_s = limit, window_s
        self._each_s = window_s / limit
        self._most_known = most_known
        self._even_at: OrderedDict[tuple[str, str], float] = OrderedDict()

    def spend(self, key: tuple[str, str]) -> None:
        """Count one. What is beyond the limit counts too."""
        now = monotonic()
        self._even_at[key] = max(self._even_at.get(key, now), now) + self._each_s
        self._even_at.move_to_end(key)
        if len(self._even_at) > self._most_known:
            self._even_at.popitem(last=False)

    def wait_s(self, key: tuple[str, str]) -> float:
        """Seconds until the key has something to spend; 0 while it has."""
        even_at = self._even_at.get(key)
        if even_at is None:
            return 0.0
        return max(0.0, even_at + self._each_s - self.window_s - monotonic())

    def has_spent(self, key: tuple[str, str]) -> bool:
        """Whether the key has spent anything that is not made up for yet."""
        even_at = self._even_at.get(key)
        return even_at is not None and even_at > monotonic()

    def __len__(self) -> int:
        """How many keys are known."""
        return len(self._even_at)


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


WINDOW_S = 60
WHOLE_ADDRESS = 5  # times the limit of one key: one program with an old key must not lock its whole office out
MAX_COUNTS = 10_000  # of addresses and keys together, some 3 MB; above it the one that failed longest ago is dropped
MAX_KEY = 64  # characters of a key's id that are kept

_Tried = tuple[str, str]


class FailedLogins:
    """Slows those who guess keys: how many logins failed lately, by the caller's address and by the API key tried.

    Counts in windows of a minute. `limit`: failures for one key of one address, five times that for all; 0: off. The
    memory is bounded: a guess must cost us less than it costs the one who guesses. After a restart or in another
    process the count begins at 0, which allows a few more guesses at secrets of 192 bits and more.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._counts: OrderedDict[_Tried, tuple[float, int]] = OrderedDict()  # when the window ends, failures

    def __len__(self) -> int:
        """How many counts are kept."""
        return len(self._counts)

    def wait_s(self, address: str, key_id: str = "") -> int:
        """0 if this address may try (this key) now; else the whole seconds until it may."""
        if not (self.limit and address):
            return 0
        place = network_of(address)
        waits = [self._left(place, key_id[:MAX_KEY], self.limit)] if key_id else []
        return max(*waits, self._left(place, "", self.limit * WHOLE_ADDRESS), 0)

    def failed(self, address: str, key_id: str = "") -> None:
        """Count a failure. One that was refused by `wait_s` is none: it tried nothing."""
        if not (self.limit and address):
            return
        place, now = network_of(address), self._clock()
        for tried in {(place, key_id[:MAX_KEY]), (place, "")}:
            ends, count = self._counts.get(tried, (0.0, 0))
            self._counts[tried] = (ends, count + 1) if ends > now else (now + WINDOW_S, 1)
            self._counts.move_to_end(tried)
        while len(self._counts) > MAX_COUNTS:
            self._counts.popitem(last=False)

    def _left(self, place: str, key_id: str, limit: int) -> int:
        ends, count = self._counts.get((place, key_id), (0.0, 0))
        return max(0, ceil(ends - self._clock())) if count >= limit else 0


def network_of(address: str) -> str:
    """What one caller can have of addresses: the address itself, of IPv6 the first 64 bits."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.exploded[:19]
