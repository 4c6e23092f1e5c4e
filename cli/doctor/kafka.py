"""Kafka: reachable, with topics that keep what they are given, and usage that is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import TypeVar

import psycopg
from aiokafka.errors import KafkaError

from cli.doctor.codes import Finding, look
from cli.doctor.postgres import as_auditor
from infra.kafka.client import KafkaMisconfigured
from infra.kafka.lag import LagReader, Unread, read_by_us
from infra.kafka.topics import USAGE, check, check_durable, topic_name
from infra.postgres.selfcheck import UnsafeSetting
from infra.settings import Settings

DEADLINE_S = 15.0
LATE, OLD_S = 10_000, 300  # messages, and the age of the oldest
BETWEEN_S = 3.0  # from one look at consumers to the next: one that works commits several times meanwhile

Result = TypeVar("Result")


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Findings about the broker; nothing more after the first that keeps it from being asked."""
    if not settings.kafka:
        return  # check_settings reports it
    try:
        for compare in (check, check_durable):
            try:
                _soon(compare(settings, settings.partitions))
            except UnsafeSetting as unsafe:
                yield Finding("topic-missing" if unsafe.value == "missing" else "topic-settings", f"{unsafe}.")
        first, second, now_ms = _soon(_looks(settings))
    except KafkaMisconfigured:
        return  # check_settings reports it
    except (KafkaError, OSError, TimeoutError) as error:
        yield Finding("kafka-away", f"{settings.kafka}: {error or type(error).__name__}")
        return
    stalled = list(_stalled(first, second, now_ms, settings.stalled_after_s))
    yield from stalled
    usage = [unread for unread in second if unread.topic == topic_name(settings, USAGE)]
    waiting = sum(unread.records for unread in usage)
    oldest = max((_age_s(unread, now_ms) or 0 for unread in usage), default=0)
    if oldest > OLD_S and not stalled:
        yield look("usage-lag", f"The oldest of {waiting:,} usage events waits for {oldest:,.0f} s.")
    if waiting > LATE:
        yield look("usage-not-counted", f"{waiting:,} usage events wait to be applied.")


async def _looks(settings: Settings) -> tuple[list[Unread], list[Unread], int | None]:
    """What consumers have still to read, again after a moment where something waits, and the database's time in ms."""
    reader = LagReader(settings, read_by_us(settings))
    try:
        first = await reader.look(DEADLINE_S)
        if not any(unread.records for unread in first):
            return first, first, None
        await asyncio.sleep(min(BETWEEN_S, settings.stalled_after_s))
        return first, await reader.look(DEADLINE_S), await asyncio.to_thread(_database_ms, settings)
    finally:
        await reader.close()


def _database_ms(settings: Settings) -> int | None:
    try:
        with as_auditor(settings) as connection:
            row = connection.execute("select (extract(epoch from clock_timestamp()) * 1000)::bigint").fetchone()
    except psycopg.OperationalError:
        return None  # a finding of its own
    return row[0] if row else None


def _age_s(unread: Unread, now_ms: int | None) -> float | None:
    """The age of the oldest record, where it and the time are known."""
    return None if unread.oldest_ms is None or now_ms is None else (now_ms - unread.oldest_ms) / 1000


def _stalled(
    first: Sequence[Unread], second: Sequence[Unread], now_ms: int | None, after_s: float
) -> Iterator[Finding]:
    """Groups that did not move between the two looks although their oldest record is old, or of an unknown age."""
    before = {unread[:3]: unread.reached for unread in first}
    found: dict[tuple[str, str], list[tuple[Unread, float | None]]] = {}
    for unread in second:
        if not unread.records or before.get(unread[:3]) != unread.reached:
            continue
        aged = _age_s(unread, now_ms)
        if aged is None or aged >= after_s:
            found.setdefault((unread.topic, unread.group), []).append((unread, aged))
    for (topic, group), parts in found.items():
        names = ", ".join(str(unread.partition) for unread, _ in parts)
        oldest = max((aged for _, aged in parts if aged is not None), default=None)
        records = sum(unread.records for unread, _ in parts)
        age = f", the oldest for {oldest:,.0f} s" if oldest is not None else ""
        yield Finding(
            "consumer-stalled", f"{group} does not read {topic}, partition {names}: {records:,} records wait{age}."
        )


def _soon(asked: Awaitable[Result]) -> Result:
    async def wait() -> Result:
        async with asyncio.timeout(DEADLINE_S):
            return await asked

    return asyncio.run(wait())
