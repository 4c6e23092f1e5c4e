"""What requests are served with: the ledger, the read models, the keys. Made once when the application starts."""

import hmac
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from api.metrics import Metrics
from infra.sealing import Sealer
from infra.security.api_keys import ApiKeys
from infra.security.authenticator import Authenticator
from infra.security.tokens import Tokens
from infra.settings import Settings
from infra.writer.ledger import Ledger

MAX_READS = 8  # connections for reads
MAX_READS_WAITING = 200  # more are turned away at once
READ_WAIT_S = 2.0
KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
OPTIONS = "-c statement_timeout=5s -c lock_timeout=2s -c plan_cache_mode=force_custom_plan -c timezone=UTC"

Row = dict[str, Any]
Verify = Callable[[], Awaitable[dict[str, Any]]]
Retry = Callable[[str, str], Awaitable[dict[str, Any]]]


@dataclass(slots=True)
class Services:
    """`verify` runs the audit; `retry` tries a quarantined usage event again (organisation, id); none: not offered."""

    settings: Settings
    ledger: Ledger
    reads: "AsyncConnectionPool[Any]"
    text: "ConnectionPool[Any]"
    sealer: Sealer
    tokens: Tokens
    keys: ApiKeys
    authenticator: Authenticator
    metrics: Metrics
    fingerprint_secret: bytes
    fingerprints: hmac.HMAC  # over nothing yet: copied for each request, which is the cheapest way to a keyed hash
    verify: Verify | None = None
    retry: Retry | None = None
    asyncapi: Callable[[], dict[str, Any]] | None = None
    in_flight: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    async def rows(self, query: str, parameters: Any = ()) -> list[Row]:
        """The rows of a read. Raises psycopg.Error; psycopg_pool's PoolTimeout and TooManyRequests when busy."""
        async with self.reads.connection() as connection:
            cursor = await connection.cursor(row_factory=dict_row).execute(query, parameters)
            found: list[Row] = await cursor.fetchall()
            return found

    async def row(self, query: str, parameters: Any = ()) -> Row | None:
        """The first row of a read, or none."""
        found = await self.rows(query, parameters)
        return found[0] if found else None


def make_services(settings: Settings, ledger: Ledger) -> Services:
    """Wire everything; nothing is opened yet. `settings.writer_url` is the login that reads and keeps API keys."""
    uri = settings.writer_url.get_secret_value()
    secret = settings.fingerprint_secret.get_secret_value().encode()
    reads: AsyncConnectionPool[Any] = AsyncConnectionPool(
        uri,
        min_size=1,
        max_size=MAX_READS,
        max_waiting=MAX_READS_WAITING,
        timeout=READ_WAIT_S,
        open=False,
        check=AsyncConnectionPool.check_connection,
        kwargs={"autocommit": True, "application_name": "scrip-api-reads", "options": OPTIONS} | KEEPALIVE,
    )
    text: ConnectionPool[Any] = ConnectionPool(
        uri,
        min_size=1,
        max_size=2,
        max_waiting=MAX_READS_WAITING,
        timeout=READ_WAIT_S,
        open=False,
        check=ConnectionPool.check_connection,
        kwargs={"autocommit": True, "application_name": "scrip-api-text", "options": OPTIONS} | KEEPALIVE,
    )
    tokens = Tokens(settings)
    keys = ApiKeys(reads, secret)
    return Services(
        settings=settings,
        ledger=ledger,
        reads=reads,
        text=text,
        sealer=Sealer(text),
        tokens=tokens,
        keys=keys,
        authenticator=Authenticator(tokens, keys),
        metrics=Metrics(),
        fingerprint_secret=secret,
        fingerprints=hmac.new(secret, digestmod="sha256"),
    )
