"""Kafka: what it acknowledged is there after any end, and no topic appears by itself."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from infra.embedded import DataFolder, EmbeddedKafka, PortInUse, ServerUnavailable
from infra.embedded.jars import ensure_jars
from infra.embedded.kafka import broker_answers, broker_settings, new_cluster_id, run_kafka_tool
from infra.embedded.ports import free_port
from tests.infra.embedded.conftest import LOG_BYTES, WaitUntil
from tests.waiting import ENOUGH_S, patient


async def create_topic(bootstrap: str, topic: str, partitions: int = 1) -> None:
    """One replica."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()


async def send(bootstrap: str, topic: str, value: bytes) -> None:
    """Send one record in a transaction, which also needs the broker's internal topics."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="test")
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The first `count` committed records."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await asyncio.wait_for(consumer.getone(), patient(30))).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_records_are_there_after_a_stop_and_a_kill(kafka: EmbeddedKafka) -> None:
    bootstrap = kafka.address
    asyncio.run(create_topic(bootstrap, "kept"))
    asyncio.run(send(bootstrap, "kept", b"before the stop"))
    kafka.stop()
    assert kafka.pid is None
    assert kafka.start() == bootstrap
    asyncio.run(send(bootstrap, "kept", b"before the kill"))
    kafka.kill()
    assert kafka.pid is None
    assert kafka.start() == bootstrap
    asyncio.run(send(bootstrap, "kept", b"after the kill"))
    assert asyncio.run(read(bootstrap, "kept", 3)) == [b"before the stop", b"before the kill", b"after the kill"]


def test_unknown_topic_is_not_created(kafka: EmbeddedKafka) -> None:
    async def produce() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.address, request_timeout_ms=3000)
        await producer.start()
        try:
            await asyncio.wait_for(producer.send_and_wait("unknown", b"x"), 5)
        finally:
            await producer.stop()

    async def topics() -> list[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
        await admin.start()
        try:
            return list(await admin.list_topics())
        finally:
            await admin.close()

    with pytest.raises((KafkaError, TimeoutError)):
        asyncio.run(produce())
    assert "unknown" not in asyncio.run(topics())


def test_tools_run(kafka: EmbeddedKafka) -> None:
    printed = run_tool(kafka, "kafka.tools.StorageTool", ["info", "--config", str(settings_file(kafka))])
    assert "Found metadata" in printed
    with pytest.raises(ServerUnavailable, match=r"kafka.tools.StorageTool.*failed"):
        run_tool(kafka, "kafka.tools.StorageTool", ["info", "--config", "/missing"])


def test_acl_tool_is_among_the_jars(kafka: EmbeddedKafka) -> None:
    assert "4.1.0" in run_tool(kafka, "org.apache.kafka.tools.AclCommand", ["--version"])


def run_tool(kafka: EmbeddedKafka, main_class: str, arguments: list[str]) -> str:
    return run_kafka_tool(kafka._folder, ensure_jars(), main_class, arguments)


def settings_file(kafka: EmbeddedKafka) -> Path:
    """The broker's server.properties."""
    return kafka._folder.path / "kafka.properties"


def test_log_says_that_it_started(kafka: EmbeddedKafka) -> None:
    logs = settings_file(kafka).parent / "logs"
    assert any("Kafka Server started" in file.read_text() for file in logs.glob("kafka.log*"))


def test_its_log_stays_small(kafka: EmbeddedKafka, wait_until: WaitUntil) -> None:
    logs = kafka._folder.path / "logs"
    # Several lines for each partition.
    asyncio.run(create_topic(kafka.address, "logged", partitions=60))
    wait_until((logs / "kafka.log.1").exists, 20.0)
    sizes = [file.stat().st_size for file in logs.glob("kafka.log*")]
    assert max(sizes) < 2 * LOG_BYTES  # the line that fills a file may be a long one
    assert len(sizes) <= 5
    assert kafka.pid is not None


def test_port_in_use_is_refused_by_number(folder: DataFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = EmbeddedKafka(folder)
        with pytest.raises(PortInUse, match=str(port)):
            server.start(port)
        assert server.pid is None


def test_port_that_answers_something_else_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not broker_answers(silent.getsockname()[1], timeout_s=0.1)


def test_another_servers_answer_is_not_a_brokers() -> None:
    """PostgreSQL answers a message that it does not know, too."""

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"E\0\0\0\x64SFATAL\0VFATAL\0")

    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor(1) as pool:
        answered = pool.submit(answer, other)
        assert not broker_answers(other.getsockname()[1])
        answered.result(ENOUGH_S)


def test_a_free_port_is_given_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda _: free_port(), range(800)))
    assert len(set(given)) == 800


def test_damaged_data_is_a_sentence_with_its_last_words(folder: DataFolder) -> None:
    (folder.subfolder("kafka") / "meta.properties").write_text("version=1\ncluster.id=a\nnode.id=2\n")
    server = EmbeddedKafka(folder)
    with pytest.raises(ServerUnavailable, match=r"Kafka does not start: .*node.id"):
        server.start()
    assert server.pid is None


def test_unusual_paths_are_escaped_for_java() -> None:
    text = broker_settings(Path("/tmp/a b=#ä😀"), 1, 2)
    assert "log.dirs=/tmp/a\\u0020b\\u003d\\u0023\\u00e4\\ud83d\\ude00\n" in text
    with pytest.raises(ServerUnavailable, match="comma"):
        broker_settings(Path("/tmp/a,b"), 1, 2)


def test_cluster_ids_have_kafkas_form() -> None:
    ids = {new_cluster_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(len(text) == 22 and not text.startswith("-") for text in ids)
