"""An intake with its connections, opened and closed together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from consumers.intake.batch import Intake
from consumers.intake.quarantine_topic import QUARANTINE, quarantine_records
from consumers.intake.senders import senders
from infra.channels import Outlet
from infra.quarantine import Parked
from infra.sealing import Sealer
from infra.session import options
from infra.settings import Settings
from infra.writer.ledger import Ledger

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
    """An intake on a ledger. Its connections are made when they are needed, so nothing here waits for a server."""
    uri = settings.writer_url.get_secret_value()
    keys: ConnectionPool[Any] = ConnectionPool(uri, check=ConnectionPool.check_connection, **POOL)
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(uri, check=AsyncConnectionPool.check_connection, **POOL)
    outlet = Outlet(settings, QUARANTINE)

    async def publish(rows: Sequence[Parked]) -> None:
        await outlet.publish([record for row in rows for record in quarantine_records(row)])

    await asyncio.to_thread(keys.open)
    await pool.open()
    try:
        async with senders(settings) as known:
            yield Intake(
                *(ledger, pool, Sealer(keys), publish),
                authenticate=known.actor,
                trusted=settings.trust_broker,
                stop=stop,
            )
    finally:
        await outlet.close()
        await pool.close()
        await asyncio.to_thread(keys.close)
