"""What cannot be read on `scrip.usage` is set aside with its bytes and reason, and its partition goes on."""

import asyncio
import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from consumers.intake.record import record_of
from consumers.intake.retry import Retried, retry
from infra.embedded import EmbeddedServers
from infra.embedded.jars import ensure_jars
from infra.embedded.kafka import run_kafka_tool
from infra.kafka import batches
from infra.kafka.topics import QUARANTINE, USAGE, topic_name
from infra.partitions import PLATFORM
from infra.settings import Settings
from tests.conftest import Database
from tests.consumers.intake_ledger import Bench, bench
from tests.consumers.test_intake_kafka import DEADLINE_S, intake, lag, settings, until
from tests.consumers.usage_records import attributes, metered
from tests.infra.stored_batches import checked, damage, flipped

__all__ = ["settings"]

CODECS = ("gzip", "snappy", "lz4", "zstd")


async def send(settings: Settings, partition: int, *ids: str, codec: str | None = None, filler: str = "") -> None:
    """Write events, one credit each, in one batch."""
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, compression_type=codec) as producer:
        batch = producer.create_batch()
        for id_ in ids:
            record = metered(id_, 1, filler=filler or None)
            headers = [("some-header", b"x"), *record.headers]
            assert batch.append(timestamp=None, key=None, value=record.value, headers=headers) is not None
        await (await producer.send_batch(batch, topic_name(settings, USAGE), partition=partition))


async def decided(found: Bench, settings: Settings, debited: int, waiting: int = 0) -> None:
    """Wait until so much is charged, so many wait in quarantine, and everything is acknowledged."""

    async def done() -> bool:
        charged = (await found.account()).debited == debited and len(await found.waiting()) == waiting
        return charged and await lag(settings) == 0

    await until(f"{debited} charged and {waiting} waiting", done)


def test_every_compression_is_read(settings: Settings, database: Database) -> None:
    async def whole() -> None:
        async with bench(database) as found, intake(settings):
            await found.grant(100)
            for number, codec in enumerate(CODECS):
                await send(settings, number, *(f"{codec}-{n}" for n in range(5)), codec=codec)
                await send(settings, number, f"{codec}-after")
            await decided(found, settings, 24)

    asyncio.run(whole())


def _lines(folder: Path, name: str) -> Path:
    """Events in structured mode, one for each line."""
    file = folder / name
    data = {"user_id": "u_1", "amount": 1, "reason": "the same words again and again, so that compression pays"}
    events = [json.dumps(attributes(f"{name}-{number}") | {"data": data}) for number in range(5)]
    file.write_text("\n".join(events) + "\n", "utf-8")
    return file


def test_compressed_batches_of_other_clients_are_read(
    settings: Settings, database: Database, servers: EmbeddedServers, tmp_path: Path
) -> None:
    """Java's own client, and librdkafka (kcat; confluent-kafka is the same library) where it is installed."""
    topic, kcat = topic_name(settings, USAGE), shutil.which("kcat")

    def java(codec: str) -> None:
        file = _lines(tmp_path, f"java-{codec}")
        options = ["--topic", topic, "--num-records", "40", "--throughput", "-1", "--payload-file", str(file)]
        properties = (f"bootstrap.servers={settings.kafka}", f"compression.type={codec}", "linger.ms=50")
        tool = "org.apache.kafka.tools.ProducerPerformance"
        run_kafka_tool(servers.folder, ensure_jars(), tool, [*options, "--producer-props", *properties])

    def librdkafka(codec: str) -> None:
        file = _lines(tmp_path, f"kcat-{codec}")
        command = [kcat or "", "-P", "-b", settings.kafka, "-t", topic, "-z", codec, "-H", "a=b", "-l", str(file)]
        subprocess.run(command, check=True, timeout=DEADLINE_S)

    async def whole() -> None:
        async with bench(database) as found, intake(settings):
            await found.grant(100)
            for codec in CODECS:
                if kcat:
                    await asyncio.to_thread(librdkafka, codec)
            for codec in ("snappy", "lz4"):  # whose frames differ between clients
                await asyncio.to_thread(java, codec)

            async def sources() -> bool:
                ids = {row["key"] for row in await found.rows("select key from commands where caller like 'usage|%%'")}
                java_ids = {id_ for id_ in ids if id_.startswith("java-")}
                return len(ids - java_ids) == (20 if kcat else 0) and {id_[:-2] for id_ in java_ids} == {
                    "java-snappy",
                    "java-lz4",
                }

            await until("events of every client", sources)
            assert await found.waiting() == {}

    asyncio.run(whole())


def _byte(at: int, value: int) -> Callable[[bytearray], None]:
    def change(batch: bytearray) -> None:
        batch[at] = value

    return change


def _far(batch: bytearray) -> None:
    struct.pack_into(">i", batch, 23, 1_000_000)


def _more_records(batch: bytearray) -> None:
    struct.pack_into(">i", batch, 57, 9)


def _header_name(batch: bytearray) -> None:
    batch[batch.index(b"some-header")] = 0xFF


DAMAGES: dict[str, tuple[Callable[[bytearray], None], str]] = {
    "a flipped bit": (flipped, "the checksum does not match"),
    "a format of the future": (_byte(16, 3), "the format 3 of the batch is unknown"),
    "an unknown compression": (checked(_byte(22, 5)), "the compression 5 is unknown"),
    "what is not compressed as it says": (checked(_byte(22, 4)), "cannot be decompressed"),
    "fewer records than it says": (checked(_more_records), "CorruptRecordException"),
    "an end far beyond the topic's": (_far, "the checksum does not match"),
    "a header's name that is not UTF-8": (checked(_header_name), "UnicodeDecodeError"),
}


def test_a_batch_that_cannot_be_read_is_set_aside_and_its_partition_goes_on(
    settings: Settings, database: Database, servers: EmbeddedServers
) -> None:
    async def whole() -> None:
        kept: dict[str, tuple[bytes, str]] = {}
        async with bench(database) as found:
            await found.grant(100)
            for partition, (change, reason) in enumerate(DAMAGES.values()):
                for part in ("before", "bad", "after"):
                    await send(settings, partition, f"{part}-{partition}", f"{part}-{partition}b")
                stored = damage(servers, topic_name(settings, USAGE), partition, 1, change)
                kept[f"{topic_name(settings, USAGE)}/{partition}/2"] = stored, reason
            async with intake(settings):
                await decided(found, settings, 4 * len(DAMAGES), len(DAMAGES))
                await send(settings, 0, "later")
                await decided(found, settings, 4 * len(DAMAGES) + 1, len(DAMAGES))
            rows = await found.rows("select * from quarantine")
            assert {row["event_id"] for row in rows} == set(kept)
            assert {(row["org"], row["source"], row["reason"]) for row in rows} == {(PLATFORM, "kafka", "unreadable")}
            for row in rows:
                stored, reason = kept[row["event_id"]]
                assert reason in row["detail"], row["event_id"]
                opened = found.sealer.open(PLATFORM, f"org:{PLATFORM}", row["body"])
                assert opened is not None
                assert record_of(opened)[0].value == stored
                answer = await retry(found.intake, PLATFORM, row["id"])
                assert (answer.applied, answer.reason) == (False, "unreadable"), answer

    asyncio.run(whole())


def test_a_long_batch_is_kept_whole_in_the_topic_too(
    settings: Settings, database: Database, servers: EmbeddedServers
) -> None:
    async def whole() -> None:
        async with bench(database) as found:
            await found.grant(10)
            async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
                value = metered("long", 1, filler=token_hex(450_000)).value
                await producer.send_and_wait(topic_name(settings, USAGE), value, partition=0)
            await send(settings, 0, "damaged", filler=token_hex(450_000))
            stored = damage(servers, topic_name(settings, USAGE), 0, 1, flipped)
            await send(settings, 0, "after")
            async with intake(settings):
                await decided(found, settings, 1, 2)
            texts: dict[str, list[str]] = {}
            whole_ones = 0
            async with AIOKafkaConsumer(
                topic_name(settings, QUARANTINE), bootstrap_servers=settings.kafka, auto_offset_reset="earliest"
            ) as consumer:
                async with asyncio.timeout(DEADLINE_S):
                    while whole_ones < 2:
                        record = json.loads((await consumer.getone()).value)
                        assert record["parts"] > 1
                        texts.setdefault(record["reason"], []).append(record["sealed"])
                        assert record.get("part", 1) == len(texts[record["reason"]])
                        whole_ones += len(texts[record["reason"]]) == record["parts"]
            opened = {
                reason: found.sealer.open(PLATFORM, f"org:{PLATFORM}", "".join(texts[reason]))
                for reason in ("too_large", "unreadable")
            }
            assert {reason: body and record_of(body)[0].value for reason, body in opened.items()} == {
                "too_large": value,
                "unreadable": stored,
            }

    asyncio.run(whole())


def test_a_batch_that_can_be_read_later_is_applied_by_a_retry(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> None:
        async with bench(database) as found:
            await found.grant(3)
            await send(settings, 0, "e1", "e2", codec="zstd")
            await send(settings, 0, "e3")
            with monkeypatch.context() as missing:
                missing.delitem(batches._CODECS, 4)
                async with intake(settings):
                    await decided(found, settings, 1, 1)
            (row,) = await found.rows("select * from quarantine")
            assert await retry(found.intake, PLATFORM, row["id"]) == Retried(applied=True)
            assert (await found.account()).debited == 3
            assert await found.waiting() == {}
            assert await retry(found.intake, PLATFORM, row["id"]) == Retried(applied=True)

    asyncio.run(whole())
