"""The role `scrip notifier`: alerts, their way out, and refused generations and checks.

One notifier of a deployment is active, the others wait; which one is decided by a lease. One that hung and wakes up may
do again what its successor has done, until it asks for the lease: that raises no alert twice, for each has its key, and
what is published or delivered again has the same id.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import psycopg
from aiokafka.errors import KafkaError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from consumers.notifier.engine import Engine
from consumers.notifier.publishing import BATCH, NOTIFICATIONS, publish_alerts, publish_refusals
from consumers.notifier.refused_checks import follow_refused_checks
from infra.decisions import DECISIONS
from infra.kafka.channels import Outlet
from infra.postgres.lease import Lease, LeaseLost
from infra.postgres.session import options
from infra.role_metrics import Figure, RoleMetrics, metrics_served
from infra.settings import Settings
from infra.waits import end_tasks, repeat, set_within
from infra.webhooks.deliveries import Deliveries
from infra.webhooks.sending import Sender
from infra.webhooks.signature import WebhookSecrets

log = logging.getLogger(__name__)

ACTIVE_NOTIFIER = "notifier"  # the lease of the active notifier of a database
EVERY_S = 1.0
STANDBY_S = 1.0
LAST_PAUSE_S = 5.0
AWAY = (psycopg.Error, PoolTimeout, KafkaError, OSError, TimeoutError)
CONNECTION: dict[str, Any] = {
    "autocommit": True,
    "application_name": "scrip notifier",
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    # It waits for nothing within a transaction, so one that stays open belongs to a process that hangs.
    "options": options(
        "-c statement_timeout=30s -c idle_in_transaction_session_timeout=10s -c plan_cache_mode=force_custom_plan"
    ),
}


async def run_notifier(settings: Settings, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
    """Notify until `stop` is set. `on_ready` is called once: when it is active, or a standby.

    Waits for PostgreSQL, for Kafka and for the first projector, at any time. Raises KafkaMisconfigured.
    """
    engine = Engine()
    with metrics_served(settings, notifier_metrics(engine)):
        await _take_turns(settings, engine, stop, [on_ready] if on_ready else [])


def notifier_metrics(engine: Engine) -> RoleMetrics:
    """What a notifier shows of itself."""
    return RoleMetrics(
        [
            Figure("gauge", "scrip_notifier_active", "1 while it notifies, 0 on standby.", lambda: engine.active),
            Figure("counter", "scrip_notifier_alerts", "Alerts raised.", lambda: engine.raised),
        ]
    )


async def _take_turns(settings: Settings, engine: Engine, stop: asyncio.Event, ready: list[Callable[[], None]]) -> None:
    seconds = STANDBY_S
    uri = settings.writer_url.get_secret_value()
    while not stop.is_set():
        try:
            lease = await Lease.connect(uri, ACTIVE_NOTIFIER)
            try:
                engine.active = await lease.take()
                while ready:
                    ready.pop()()
                seconds = STANDBY_S
                if engine.active:
                    log.info("this notifier is the active one")
                    await lease.while_held(_serve(settings, engine, stop))
            finally:
                await lease.close()
        except LeaseLost as error:
            log.warning("the notifier is on standby: %s", error)
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("the notifier starts again: %s", error or type(error).__name__)
            seconds = min(2 * seconds, LAST_PAUSE_S)
        finally:
            engine.active = False
        await set_within(stop, seconds)


async def _serve(settings: Settings, engine: Engine, stop: asyncio.Event) -> None:
    """Everything at once until `stop` is set or the session that looks is lost. Raises psycopg.Error, OSError."""
    uri = settings.writer_url.get_secret_value()
    checked = AsyncConnectionPool.check_connection
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        uri, min_size=1, max_size=4, open=False, timeout=5.0, kwargs=CONNECTION, check=checked
    )
    async with await psycopg.AsyncConnection.connect(uri, **CONNECTION) as connection, pool:
        outlet, refused = Outlet(settings, NOTIFICATIONS), Outlet(settings, DECISIONS)
        secrets = WebhookSecrets(settings.fingerprint_secret.get_secret_value().encode())
        deliveries = Deliveries(pool, secrets, Sender(allow_private=settings.webhooks_allow_private))

        async def some_alerts() -> bool:
            return await publish_alerts(pool, outlet) == BATCH

        def again(
            what: str, step: Callable[[], Awaitable[bool]], lost: Callable[[], bool] = lambda: False
        ) -> Coroutine[Any, Any, None]:
            return repeat(what, step, stop, AWAY, every_s=EVERY_S, last_pause_s=LAST_PAUSE_S, lost=lost)

        parts: list[Coroutine[Any, Any, None]] = [
            again("looking for alerts", lambda: engine.look(connection), lambda: connection.closed),
            again("publishing alerts", some_alerts),
            again("publishing refused generations", lambda: publish_refusals(pool, refused)),
            again("reading refused checks", lambda: follow_refused_checks(settings, pool)),
            deliveries.run(stop),
        ]
        try:
            await _first_to_end(parts, stop)
        finally:
            await outlet.close()
            await refused.close()


async def _first_to_end(parts: list[Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """Run all until `stop` is set or one of them ends; an exception is raised when the others have ended too."""
    tasks = [asyncio.create_task(part) for part in parts]
    stopped = asyncio.create_task(stop.wait())
    running: list[asyncio.Task[Any]] = [*tasks, stopped]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await end_tasks(running)
