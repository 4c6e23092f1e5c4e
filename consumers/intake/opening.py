"""An intake with its connections, opened and closed together, and who may send it something."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from consumers.cloud_event import Unacceptable
from consumers.intake.batch import Intake
from consumers.intake.record import QUARANTINE, quarantine_records
from infra.kafka.channels import Outlet
from infra.postgres.session import options
from infra.quarantine import Parked
from infra.security.api_keys import ApiKeys
from infra.security.authenticator import Authenticator
from infra.security.principal import Role, Unauthenticated
from infra.security.sealing import Sealer
from infra.security.tokens import Tokens
from infra.settings import Settings
from infra.writer.ledger import Ledger

MAY_WRITE = {Role.WORKER, Role.ORG_ADMIN, Role.ADMIN}
SCOPE = "credits:spend"  # what an API key with limited scopes needs, as for the same calls over HTTP
# Bounded waits everywhere: a silent connection must never look like a long query.
POOL: dict[str, Any] = {
    "min_size": 1,
    "max_size": 2,
    "open": False,
    "timeout": 5.0,
    "max_waiting": 100,
    "kwargs": {
        "autocommit": True,
        "application_name": "scrip-intake",
        "connect_timeout": 5,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "options": options(
            "-c plan_cache_mode=force_custom_plan -c statement_timeout=30s -c idle_in_transaction_session_timeout=10s"
        ),
    },
}


@asynccontextmanager
async def opened_intake(settings: Settings, ledger: Ledger, stop: asyncio.Event) -> AsyncIterator[Intake]:
    """An intake on a ledger. Its connections are made when they are needed, so nothing here waits for a server.

    It checks tokens by the settings' keys, API keys by the database.
    """
    uri, secret = (field.get_secret_value() for field in (settings.writer_url, settings.fingerprint_secret))
    keys: ConnectionPool[Any] = ConnectionPool(uri, check=ConnectionPool.check_connection, **POOL)
    few = POOL | {"min_size": 0, "kwargs": POOL["kwargs"] | {"row_factory": dict_row}}  # only API keys need it
    outlet = Outlet(settings, QUARANTINE)

    async def publish(rows: Sequence[Parked]) -> None:
        await outlet.publish([record for row in rows for record in quarantine_records(row)])

    await asyncio.to_thread(keys.open)
    try:
        async with _pool(uri, POOL) as pool, _pool(uri, few) as api_keys:
            known = Senders(Authenticator(Tokens(settings), ApiKeys(api_keys, secret.encode())))
            yield Intake(
                *(ledger, pool, Sealer(keys), publish),
                authenticate=known.actor,
                trusted=settings.trust_broker,
                stop=stop,
            )
    finally:
        await outlet.close()
        await asyncio.to_thread(keys.close)


def _pool(uri: str, terms: dict[str, Any]) -> "AsyncConnectionPool[Any]":
    return AsyncConnectionPool(uri, check=AsyncConnectionPool.check_connection, **terms)


class Senders:
    """Checks the credential of each event; a good one is remembered until it ends or may have been revoked."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def actor(self, credential: str | None, org: str) -> str:
        """The actor that the log records. `credential`: a token or key, with or without `Bearer` before it.

        Raises Unacceptable: `unauthenticated` without a valid credential, `forbidden` for a role that may not write
        usage events or another organisation; psycopg.Error where API keys cannot be read.
        """
        if not credential:
            raise Unacceptable("unauthenticated", "the header scripauth must hold a worker's token or API key")
        header = (credential if credential[:7].lower() == "bearer " else f"Bearer {credential}").encode()
        principal = self._authenticator.known(header)
        if principal is None:
            try:
                principal = await self._authenticator.verify(header)
            except Unauthenticated as error:
                raise Unacceptable("unauthenticated", error.detail) from None
        if principal.role not in MAY_WRITE:
            raise Unacceptable("forbidden", f"the role {principal.role} may not write usage events")
        if principal.scopes is not None and SCOPE not in principal.scopes:
            raise Unacceptable("forbidden", f"the API key has no scope {SCOPE}")
        if principal.org != org and principal.role is not Role.ADMIN:
            raise Unacceptable("forbidden", "the sender belongs to another organisation than scriporg")
        return principal.actor
