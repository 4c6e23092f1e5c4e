"""A damaged batch: no consumer of the ledger or of decisions takes it for an event, or loses what lies beside it."""

import asyncio
import struct
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from consumers.notifier.refused_checks import _row
from infra.audit.report import Differs
from infra.audit.topic import _same
from infra.embedded import EmbeddedServers
from infra.kafka import batches
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import LEDGER, topic_name
from infra.log.events import LedgerEvent
from infra.relay.tail import last_published
from infra.settings import Settings
from tests.conftest import Database
from tests.consumers.projecting import last, log_id, positions, publish, serving, until
from tests.consumers.test_projector import LOG, deployment
from tests.infra.stored_batches import checked, damage, flipped

__all__ = ["deployment"]

PARTITION = LOG[0].partition


async def read(settings: Settings, count: int) -> list[Any]:
    """The first records of the partition."""
    part = TopicPartition(topic_name(settings, LEDGER), PARTITION)
    found: list[Any] = []
    async with AIOKafkaConsumer(**kafka_arguments(settings), isolation_level="read_committed") as consumer:
        consumer.assign([part])
        await consumer.seek_to_beginning(part)
        async with asyncio.timeout(20):
            while len(found) < count:
                found += (await consumer.getmany(part, timeout_ms=500)).get(part, [])
    return found


class _Stored:
    """The log, as the relay asks it."""

    async def events_at(self, partition: int, positions: Sequence[int]) -> dict[int, LedgerEvent]:
        return {event.position: event for event in LOG if event.partition == partition and event.position in positions}


def test_a_damaged_batch_of_the_ledger(deployment: Settings, database: Database, servers: EmbeddedServers) -> None:
    topic = topic_name(deployment, LEDGER)
    ours = [event for event in LOG if event.partition == PARTITION][:7]
    others = [event for event in LOG if event.partition != PARTITION]

    async def scenario() -> None:
        await publish(deployment, database, ours[:3])
        await publish(deployment, database, ours[3:6])  # after the batch and the end of the first transaction
        damage(servers, topic, PARTITION, 2, flipped)
        stored = _Stored()
        found = await last_published(kafka_arguments(deployment), topic, PARTITION, stored, log_id(database))
        assert found == ours[2].position  # the relay goes on there, so what is damaged is published again
        *good, bad = await read(deployment, 4)
        assert [record.offset for record in good] == [0, 1, 2]
        assert (bad.first_offset, bad.offset, bad.value) == (4, 6, None)
        assert _row(bad) is None
        with pytest.raises(Differs, match="cannot be read"):
            _same("there", (b"", b"", {}), bad)

    asyncio.run(scenario())

    async def project() -> None:
        await publish(deployment, database, [*ours[6:], *others])
        await until(lambda: positions(database) == last([*ours, *others]))

    serving(deployment, project)  # what cannot be read in the topic is read from the log itself
    with psycopg.connect(database.owner_uri) as connection:
        faults = connection.execute("select partition, kind, reason from topic_faults order by kind").fetchall()
    assert [(partition, kind) for partition, kind, _ in faults] == [(PARTITION, "foreign"), (PARTITION, "missing")]
    assert "offsets 4 to 6 cannot be read: the checksum does not match" in faults[0][2]


def test_what_a_transaction_aborted_is_not_set_aside(
    deployment: Settings, database: Database, servers: EmbeddedServers
) -> None:
    """A retry would apply it once it can be read."""
    topic = topic_name(deployment, LEDGER)
    ours = [event for event in LOG if event.partition == PARTITION][:4]

    def unknown(batch: bytearray) -> None:
        batch[22] |= 5

    async def scenario() -> None:
        await publish(deployment, database, ours[:2], abort=True)
        await publish(deployment, database, ours[2:])
        damage(servers, topic, PARTITION, 0, checked(unknown))
        assert [record.offset for record in await read(deployment, 2)] == [3, 4]

    asyncio.run(scenario())


def test_records_of_other_partitions_are_not_lost_beside_a_damaged_batch(
    deployment: Settings, servers: EmbeddedServers
) -> None:
    """aiokafka drops what it had taken from one partition when it then fails at the next one."""
    topic = topic_name(deployment, LEDGER)

    async def scenario() -> None:
        async with AIOKafkaProducer(**kafka_arguments(deployment)) as producer:
            for partition in range(4):
                await producer.send_and_wait(topic, b"some value", partition=partition)
        damage(servers, topic, 2, 0, flipped)
        found: list[Any] = []
        async with AIOKafkaConsumer(topic, **kafka_arguments(deployment), auto_offset_reset="earliest") as consumer:
            async with asyncio.timeout(20):
                while len(found) < 4:
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        found += records
        assert {record.partition: record.value for record in found} == {
            0: b"some value", 1: b"some value", 2: None, 3: b"some value"
        }  # fmt: skip

    asyncio.run(scenario())


def test_a_few_bytes_that_stand_for_too_many_are_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_PLAIN_BYTES", 1 << 20)
    for codec, module in batches._CODECS.items():
        plain = bytes(2 << 20)
        packed = bytes(module.compress_raw(plain) if codec == 2 else module.compress(plain))
        header = struct.pack(">qiibIhiqqqhii", 0, 49 + len(packed), 0, 2, 0, codec, 0, 0, 0, -1, -1, -1, 1)
        batch = bytearray(header + packed)
        checked(lambda _: None)(batch)
        with pytest.raises(batches.UnreadableBatch, match="at most 1048576 bytes"):
            batches.records_of(bytes(batch))


def test_a_few_bytes_that_stand_for_too_many_records_are_set_aside() -> None:
    """All of them at once would take 2 GB, and ten seconds in which no heartbeat is sent."""
    record = bytes([12, 0, 0, 0, 1, 1, 0])  # no key, value or headers
    for count in (3, batches.MAX_RECORDS + 1):
        packed = bytes(batches._CODECS[4].compress(record * count))
        header = struct.pack(">qiibIhiqqqhii", 0, 49 + len(packed), 0, 2, 0, 4, count - 1, 0, 0, -1, -1, -1, count)
        batch = bytearray(header + packed)
        checked(lambda _: None)(batch)
        if count == 3:
            assert len(batches.records_of(bytes(batch))) == 3
            continue
        with pytest.raises(batches.UnreadableBatch, match="more than 262144 records"):
            batches.records_of(bytes(batch))
