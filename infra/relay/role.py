"""The role `relay`: check the topic, then relay until `stop` is set."""

import asyncio
from collections.abc import Callable

import psycopg
from aiokafka.errors import KafkaError

from infra.kafka import topics
from infra.kafka.client import kafka_arguments
from infra.relay.relay import Relay
from infra.relay.source import Source
from infra.role_metrics import Figure, RoleMetrics, metrics_served
from infra.settings import Settings
from infra.waits import set_within

RETRY_S = 0.5


async def run_relay(settings: Settings, stop: asyncio.Event, on_ready: Callable[[], None] | None = None) -> None:
    """Relay the log of `settings.relay_url` to the ledger's topic until `stop` is set.

    Waits for servers that are not up yet. Raises UnsafeSetting where the topic would not keep the log as it is,
    TopicDisagrees where it holds another history, KafkaMisconfigured. `on_ready` as of `Relay.run`.
    """
    relay = relay_of(settings)
    with metrics_served(settings, relay_metrics(relay)):
        if await _checked(settings, stop):
            await relay.run(stop, on_ready)


def relay_metrics(relay: Relay) -> RoleMetrics:
    """What a relay shows of itself."""
    return RoleMetrics(
        [
            Figure("gauge", "scrip_relay_active", "1 while it relays, 0 on standby.", lambda: relay.active),
            Figure("counter", "scrip_relay_published", "Events put into the topic.", lambda: relay.published),
            Figure("gauge", "scrip_relay_lag_events", "Events not yet in the topic.", lambda: relay.lag),
            Figure("counter", "scrip_relay_restarts", "Producers replaced after errors.", lambda: relay.restarts),
            Figure(
                *("gauge", "scrip_relay_stopped_partitions", "Partitions that stand still, with an error in the log."),
                lambda: len(relay.stops),
            ),
            Figure(
                *("gauge", "scrip_relay_refused_partitions", "Of these, partitions whose next event Kafka refuses."),
                lambda: sum(stop.refused for stop in relay.stops),
            ),
        ]
    )


def relay_of(settings: Settings) -> Relay:
    """The relay that the settings describe, for who wants to read its figures while it runs."""
    return Relay(
        settings.relay_url.get_secret_value(),
        kafka_arguments(settings),
        topics.topic_name(settings, topics.LEDGER),
        settings.topic_prefix,
    )


async def _checked(settings: Settings, stop: asyncio.Event) -> bool:
    while not stop.is_set():
        try:
            async with await Source.connect(settings.relay_url.get_secret_value()) as source:
                partitions = source.log.partitions
            await topics.check(settings, partitions)
        except (psycopg.Error, LookupError, KafkaError, OSError, TimeoutError):
            await set_within(stop, RETRY_S)
        else:
            return True
    return False
