"""API keys of programs: `scrip_{id}_{secret}`. Only the secret's hash is kept, so a key is shown once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from secrets import token_hex
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from infra.security.principal import Principal, Role, Unauthenticated

PREFIX = "scrip_"
MAX_API_KEYS = 10_000  # of an organisation, with those that are revoked or over: they stay on the list
Pool = AsyncConnectionPool[Any]
_COLUMNS = "id, org, name, role, scopes, created_at, created_by, expires_at, revoked_at"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is listed: everything but the secret."""

    id: str
    org: str
    name: str
    role: Role
    scopes: tuple[str, ...] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None


class TooManyApiKeys(Exception):
    """The organisation has as many API keys as it may have."""


class KeyTaken(Exception):
    """The same idempotency key made another API key before."""


class ApiKeys:
    """The keys of all organisations. `secret`: from it come the keys of repeated requests (see `create`)."""

    def __init__(self, pool: Pool, secret: bytes) -> None:
        self._pool = pool
        self._secret = secret

    async def verify(self, credential: str) -> Principal:
        """Raises Unauthenticated; psycopg.Error where the keys cannot be read."""
        id_, _, secret = credential.removeprefix(PREFIX).partition("_")
        async with self._pool.connection() as connection:
            cursor = await connection.cursor(row_factory=dict_row).execute(
                "select org, role, scopes, hash from api_keys where id = %s and revoked_at is null"
                " and (expires_at is null or expires_at > scrip_now())",
                (id_[:64].replace("\0", "."),),  # Kafka's headers may have what PostgreSQL's text has not
            )
            row = await cursor.fetchone()
        # The comparison is made for an unknown key too, so that its duration does not show which ids exist.
        known = bytes(row["hash"]) if row else bytes(32)
        if not compare_digest(known, _hash(secret)) or row is None:
            raise Unauthenticated("invalid_key", "The API key is unknown, expired or revoked.")
        scopes = frozenset(row["scopes"]) if row["scopes"] is not None else None
        return Principal.of_key(id_, row["org"], Role(row["role"]), scopes)

    async def create(
        self,
        org: str,
        name: str,
        role: Role,
        scopes: Sequence[str] | None,
        expires_at: datetime | None,
        *,
        by: str,
        idempotency: tuple[str, bytes] | None = None,
    ) -> tuple[ApiKey, str, bool]:
        """The key, its full text (to be shown now and never again), and whether this repeats an earlier request.

        `idempotency` is the request's key and fingerprint: id and secret are then derived from them, so that a
        repeated request gets the same answer although the secret is not stored. Raises KeyTaken, TooManyApiKeys.
        """
        if idempotency is None:
            id_, secret = token_hex(8), token_hex(24)
        else:
            key, fingerprint = idempotency
            id_ = self._derive("id", org, by, key)[:16]
            secret = self._derive("secret", org, by, key, fingerprint.hex())[:48]
        async with self._pool.connection() as connection:
            cursor = await connection.cursor(row_factory=dict_row).execute(
                "insert into api_keys (id, org, name, role, scopes, hash, expires_at, created_by)"
                " select %s, %s, %s, %s, %s::text[], %s, %s::timestamptz, %s"
                " where (select count(*) from api_keys where org = %s) < %s on conflict (id) do nothing",
                (
                    id_,
                    org,
                    name,
                    role.value,
                    list(scopes) if scopes is not None else None,
                    _hash(secret),
                    expires_at,
                    by,
                    org,
                    MAX_API_KEYS,
                ),
            )
            made = cursor.rowcount == 1
            cursor = await connection.cursor(row_factory=dict_row).execute(
                f"select {_COLUMNS}, hash from api_keys where id = %s", (id_,)
            )
            row = await cursor.fetchone()
        if row is None:
            raise TooManyApiKeys
        if not compare_digest(bytes(row.pop("hash")), _hash(secret)):
            raise KeyTaken
        return _listed(row), f"{PREFIX}{id_}_{secret}", not made

    async def of(self, org: str, after: tuple[datetime, str] | None, limit: int) -> list[ApiKey]:
        """The organisation's keys, oldest first, after the one with this time and id."""
        async with self._pool.connection() as connection:
            cursor = await connection.cursor(row_factory=dict_row).execute(
                f"select {_COLUMNS} from api_keys where org = %s"
                " and (%s::timestamptz is null or (created_at, id) > (%s, %s)) order by created_at, id limit %s",
                (org, after and after[0], after and after[0], after and after[1], limit),
            )
            return [_listed(row) for row in await cursor.fetchall()]

    async def revoke(self, org: str, id_: str) -> bool:
        """End a key now; whether the organisation has such a key. Other processes follow within seconds."""
        async with self._pool.connection() as connection:
            cursor = await connection.cursor(row_factory=dict_row).execute(
                "update api_keys set revoked_at = coalesce(revoked_at, scrip_now()) where org = %s and id = %s",
                (org, id_),
            )
        return bool(cursor.rowcount == 1)

    def _derive(self, *parts: str) -> str:
        text = "".join(f"{len(part)}:{part}" for part in ("api-key", *parts))
        return hmac_digest(self._secret, text.encode(), "sha256").hex()


def _hash(secret: str) -> bytes:
    """Secrets have 192 random bits, so a plain hash cannot be searched; a slow one would only slow every request."""
    return sha256(secret.encode(errors="replace")).digest()


def _listed(row: dict[str, Any]) -> ApiKey:
    scopes = tuple(row["scopes"]) if row["scopes"] is not None else None
    return ApiKey(**{**row, "role": Role(row["role"]), "scopes": scopes})
