"""Kafka: reachable, with topics that keep what they are given, and usage that is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import TypeVar

from aiokafka.errors import KafkaError

from cli.doctor.finding import Finding, look
from infra.kafka_client import KafkaMisconfigured
from infra.kafka_lag import group_lag, intake_group
from infra.settings import Settings
from infra.topics import USAGE, check, check_durable, topic_name
from infra.unsafe_setting import UnsafeSetting

DEADLINE_S = 15.0
LATE = 10_000  # messages

Result = TypeVar("Result")


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Findings about the broker; nothing more after the first that keeps it from being asked."""
    if not settings.kafka:
        return  # told of the settings already
    try:
        for compare in (check, check_durable):
            try:
                _soon(compare(settings, settings.partitions))
            except UnsafeSetting as unsafe:
                yield Finding("topic-missing" if unsafe.value == "missing" else "topic-settings", f"{unsafe}.")
        lag = _soon(group_lag(settings, intake_group(settings), topic_name(settings, USAGE), DEADLINE_S))
    except KafkaMisconfigured:
        return  # told of the settings already
    except (KafkaError, OSError, TimeoutError) as error:
        yield Finding("kafka-away", f"{settings.kafka}: {error or type(error).__name__}")
        return
    waiting = sum(lag.values())
    if waiting > LATE:
        yield look("usage-not-counted", f"{waiting:,} usage events wait to be applied.")


def _soon(asked: Awaitable[Result]) -> Result:
    async def wait() -> Result:
        async with asyncio.timeout(DEADLINE_S):
            return await asked

    return asyncio.run(wait())
