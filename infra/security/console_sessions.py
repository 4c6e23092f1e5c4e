"""Sessions of people at the console: kept in PostgreSQL, under the hash of the id in the browser's cookie."""

import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from hmac import digest as hmac_digest
from secrets import token_bytes
from typing import Any

import psycopg
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from infra.turns import CALLER, Caller

PER_SUBJECT = 20  # live sessions of one person,
TOTAL = 20_000  # and of all people; above these the one that ends first is ended
KNOWN = 20_000  # sessions whose person this process knows before it has asked
CLAIM_S = 15  # a process that refreshes a token and dies blocks the next try for so long

_BEGIN = """
    insert into console_sessions (hash, org, sub, credentials, token_ends_at, refresh_at, ends_at, last_at)
    select %(hash)s, %(org)s, %(sub)s, %(credentials)s, to_timestamp(%(token_ends_at)s), to_timestamp(%(refresh_at)s),
        now.at + least(%(idle)s, %(most)s), now.at + %(most)s
    from (select clock_timestamp() as at) now"""
_CROWD_OUT = """
    update console_sessions set ended = 'elsewhere', credentials = null, kept = null
    where hash in (
        select hash from console_sessions
        where org = %(org)s and sub = %(sub)s and ended is null and hash <> %(hash)s and ends_at > clock_timestamp()
        order by ends_at desc, hash offset %(others)s)"""
_WIPE = """
    update console_sessions set credentials = null, kept = null
    where credentials is not null and ends_at <= clock_timestamp()"""
_DROP = """
    delete from console_sessions
    where ends_at < clock_timestamp() - interval '1 day'
    or hash in (select hash from console_sessions where hash <> %(hash)s order by ends_at desc offset %(total)s)"""
_FIND = """
    select org, sub, credentials, kept, version,
        coalesce(ended, case
            when ends_at <= now.at and ends_at >= last_at then 'age' when ends_at <= now.at then 'idle' else '' end),
        token_ends_at <= now.at, refresh_at is not null, coalesce(refresh_at <= now.at, false),
        least(last_at, now.at + %(idle)s) - ends_at > %(idle)s / 20
    from console_sessions, (select clock_timestamp() as at) now where hash = %(hash)s"""
_TOUCH = """
    update console_sessions set ends_at = least(last_at, clock_timestamp() + %(idle)s)
    where hash = %(hash)s and ended is null and ends_at > clock_timestamp()"""
_KEEP = "update console_sessions set kept = %(kept)s where hash = %(hash)s and ended is null"
_CLAIM = """
    update console_sessions set refreshing_until = clock_timestamp() + %(claim)s
    where hash = %(hash)s and version = %(version)s and ended is null
    and coalesce(refreshing_until < clock_timestamp(), true)"""
_RENEW = """
    update console_sessions set credentials = %(credentials)s, version = version + 1, refreshing_until = null,
        token_ends_at = to_timestamp(%(token_ends_at)s), refresh_at = to_timestamp(%(refresh_at)s)
    where hash = %(hash)s and version = %(version)s and ended is null"""
_POSTPONE = """
    update console_sessions set refreshing_until = null, refresh_at = clock_timestamp() + %(pause)s
    where hash = %(hash)s and version = %(version)s and ended is null"""
_END = """
    update console_sessions set ended = %(why)s, credentials = null, kept = null
    where hash = %(hash)s and ended is null"""
_DELETE = "delete from console_sessions where hash = %(hash)s"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSession:
    """What is kept of a session. `ended`: why it has ended, empty while it lives; then there are no credentials.

    `version` counts the credentials, `renewable`: they hold what gets a new token, `refresh_due`: it is time for that,
    `token_over`: the token has ended.
    """

    org: str
    sub: str
    credentials: Mapping[str, Any]
    kept: Mapping[str, Any]
    version: int
    ended: str
    token_over: bool
    renewable: bool
    refresh_due: bool


class ConsoleSessions:
    """The store that all API processes share (`pool`: login scrip_writer, autocommit).

    `secret`: SCRIP_SESSION_SECRET, which encrypts. A session ends `idle_s` seconds after its last use (that is noted
    to a twentieth of it, so that most pages write nothing) and `max_s` seconds after its begin. Every method raises
    ConnectionError where the database does not answer.
    """

    def __init__(
        self,
        pool: "AsyncConnectionPool[Any]",
        secret: str,
        *,
        idle_s: int,
        max_s: int,
        per_subject: int = PER_SUBJECT,
        total: int = TOTAL,
    ) -> None:
        self._pool = pool
        self._cipher = AESGCM(hmac_digest(secret.encode(), b"console sessions v1", "sha256"))
        self._limits = {"idle": timedelta(seconds=idle_s), "most": timedelta(seconds=max_s)}
        self._callers: OrderedDict[bytes, Caller] = OrderedDict()
        self._bounds = {"others": per_subject - 1, "total": total - 1}

    async def begin(
        self,
        id_: str,
        *,
        org: str,
        sub: str,
        credentials: Mapping[str, Any],
        token_ends_at: int,
        refresh_at: int | None,
    ) -> None:
        """Keep a new session. `token_ends_at`, `refresh_at` (None: never): Unix seconds.

        Sessions that ended long ago go, and so do the oldest where there are too many.
        """
        hash_ = _hash(id_)
        row = {
            "hash": hash_,
            "org": org,
            "sub": sub,
            "credentials": self._sealed(hash_, "credentials", credentials),
            "token_ends_at": token_ends_at,
            "refresh_at": refresh_at,
        }
        async with self._connected() as connection:
            for statement in (_BEGIN, _CROWD_OUT, _WIPE, _DROP):
                await connection.execute(statement, row | self._limits | self._bounds)

    async def find(self, id_: str) -> ConsoleSession | None:
        """The session, also for a day after its end; None if it is unknown or was encrypted with another secret."""
        hash_ = _hash(id_)
        named = {"hash": hash_, "idle": self._limits["idle"]}
        if (caller := self._callers.get(hash_)) is not None:
            CALLER.set(caller)  # a session that was found before does not queue with invented ones
        async with self._connected() as connection:
            row = await (await connection.execute(_FIND, named)).fetchone()
            if row is None:
                return None
            org, sub, sealed, kept, version, ended, over, renewable, due, stale = row
            if stale and not ended:
                await connection.execute(_TOUCH, named)
        self._callers[hash_] = caller = org, sub
        if len(self._callers) > KNOWN:
            self._callers.popitem(last=False)
        CALLER.set(caller)
        credentials = self._opened(hash_, "credentials", None if ended else sealed)
        if not ended and not credentials:
            return None
        return ConsoleSession(
            org=org,
            sub=sub,
            credentials=credentials,
            kept=self._opened(hash_, "kept", None if ended else kept),
            version=version,
            ended=ended,
            token_over=over,
            renewable=renewable,
            refresh_due=due,
        )

    async def keep(self, id_: str, kept: Mapping[str, Any]) -> None:
        """Replace what the pages remember."""
        hash_ = _hash(id_)
        await self._changed(_KEEP, {"hash": hash_, "kept": self._sealed(hash_, "kept", kept)})

    async def claim_refresh(self, id_: str, version: int) -> bool:
        """Whether the caller is the one who may replace this version of the credentials, for CLAIM_S seconds."""
        claim = timedelta(seconds=CLAIM_S)
        return await self._changed(_CLAIM, {"hash": _hash(id_), "version": version, "claim": claim})

    async def renew(
        self, id_: str, version: int, *, credentials: Mapping[str, Any], token_ends_at: int, refresh_at: int | None
    ) -> bool:
        """Replace this version of the credentials; False if the session has ended meanwhile."""
        hash_ = _hash(id_)
        return await self._changed(
            _RENEW,
            {
                "hash": hash_,
                "version": version,
                "credentials": self._sealed(hash_, "credentials", credentials),
                "token_ends_at": token_ends_at,
                "refresh_at": refresh_at,
            },
        )

    async def postpone_refresh(self, id_: str, version: int, pause_s: int) -> None:
        """Give the claim back: the next try may come in `pause_s` seconds."""
        pause = timedelta(seconds=pause_s)
        await self._changed(_POSTPONE, {"hash": _hash(id_), "version": version, "pause": pause})

    async def end(self, id_: str, why: str = "") -> None:
        """End the session and drop its tokens. `why` is kept for the person; empty: the person ended it."""
        await self._changed(_END if why else _DELETE, {"hash": _hash(id_), "why": why})

    async def _changed(self, statement: str, values: Mapping[str, Any]) -> bool:
        async with self._connected() as connection:
            return (await connection.execute(statement, values)).rowcount > 0

    @asynccontextmanager
    async def _connected(self) -> "AsyncIterator[AsyncConnection[Any]]":
        try:
            async with self._pool.connection() as connection:
                yield connection
        except psycopg.Error as error:
            log.warning("the console's sessions could not be read", error=type(error).__name__, detail=str(error)[:200])
            raise ConnectionError("the store of the console's sessions does not answer") from error

    def _sealed(self, hash_: bytes, part: str, values: Mapping[str, Any]) -> bytes:
        nonce = token_bytes(12)
        return nonce + self._cipher.encrypt(nonce, json.dumps(values).encode(), part.encode() + hash_)

    def _opened(self, hash_: bytes, part: str, sealed: bytes | None) -> dict[str, Any]:
        """What was sealed for this row and column; empty for nothing and for what another secret sealed."""
        if sealed is None:
            return {}
        try:
            opened: dict[str, Any] = json.loads(self._cipher.decrypt(sealed[:12], sealed[12:], part.encode() + hash_))
        except (InvalidTag, ValueError):
            return {}
        return opened


def _hash(id_: str) -> bytes:
    return sha256(id_.encode()).digest()
