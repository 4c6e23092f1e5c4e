"""Topics: one creator, safe settings, and a check that names what is wrong with them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from infra.kafka import topics
from infra.kafka.client import KafkaMisconfigured, kafka_arguments
from infra.postgres.selfcheck import UnsafeSetting
from infra.settings import Settings

SAFE = {
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "message.timestamp.type": "LogAppendTime",
}


def settings(kafka: str, prefix: str) -> Settings:
    return Settings.model_validate({"kafka": kafka, "topic_prefix": prefix})


async def create(kafka: str, name: str, partitions: int, configs: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        assert [error[1] for error in answer.topic_errors] == [0]
    finally:
        await admin.close()


def test_provision_creates_once_and_check_is_content(kafka: str, topic_prefix: str) -> None:
    here = settings(kafka, topic_prefix)
    names = {topic_prefix + name for name in (topics.LEDGER, topics.USAGE, topics.NOTIFICATIONS, topics.DECISIONS)}
    names.add(topic_prefix + "scrip.quarantine")

    async def steps() -> None:
        assert set(await topics.provision(here, 4)) == names
        assert await topics.provision(here, 4) == []
        await topics.check(here, 4)

    asyncio.run(steps())


def test_two_may_provision_at_the_same_time(kafka: str, topic_prefix: str) -> None:
    here = settings(kafka, topic_prefix)

    async def both() -> None:
        await asyncio.gather(topics.provision(here, 4), topics.provision(here, 4))
        await topics.check(here, 4)

    asyncio.run(both())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("retention.ms", "604800000"),
        ("retention.bytes", "1000000000"),
        ("cleanup.policy", "compact"),
        ("message.timestamp.type", "CreateTime"),
    ],
)
def test_an_unsafe_ledger_is_refused_by_name(kafka: str, topic_prefix: str, setting: str, value: str) -> None:
    here = settings(kafka, topic_prefix)
    ledger = topic_prefix + topics.LEDGER

    async def steps() -> None:
        await create(kafka, ledger, 4, {**SAFE, setting: value})
        with pytest.raises(UnsafeSetting) as caught:
            await topics.provision(here, 4)
        error = caught.value
        assert (error.server, error.setting, error.value) == ("Kafka", f"{setting} of {ledger}", value)
        assert error.needed == SAFE[setting]
        with pytest.raises(UnsafeSetting):
            await topics.check(here, 4)

    asyncio.run(steps())


def test_another_number_of_partitions_is_refused(kafka: str, topic_prefix: str) -> None:
    here = settings(kafka, topic_prefix)

    async def steps() -> None:
        await topics.provision(here, 4)
        with pytest.raises(UnsafeSetting, match=r"number of partitions of .*scrip\.ledger is 4, but must be 5"):
            await topics.check(here, 5)

    asyncio.run(steps())


def test_a_missing_topic_is_named(kafka: str, topic_prefix: str) -> None:
    with pytest.raises(UnsafeSetting, match=rf"{topic_prefix}scrip\.ledger is missing"):
        asyncio.run(topics.check(settings(kafka, topic_prefix), 4))


def test_a_broker_that_makes_topics_by_itself_is_refused(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker cannot be told to, so its answer to this one question is changed."""
    honest = topics._configured

    async def answer(admin: Any, kind: Any, name: str, wanted: dict[str, str]) -> dict[str, str]:
        found = await honest(admin, kind, name, wanted)
        return {key: "true" if key == "auto.create.topics.enable" else value for key, value in found.items()}

    monkeypatch.setattr(topics, "_configured", answer)
    with pytest.raises(UnsafeSetting, match=r"auto\.create\.topics\.enable of broker 1 is true, but must be false"):
        asyncio.run(topics.provision(settings(kafka, topic_prefix), 4))


def test_three_replicas_need_two_in_sync() -> None:
    one, three = Settings(kafka_replication=1), Settings(kafka_replication=3)
    assert {topic.others["min.insync.replicas"] for topic in topics.topics_of(one, 4)} == {"1"}
    assert {topic.others["min.insync.replicas"] for topic in topics.topics_of(three, 4)} == {"2"}


def test_the_arguments_of_a_secured_broker() -> None:
    secured = Settings(
        kafka="a:1, b:2", kafka_security="SASL_SSL", kafka_username="relay", kafka_password=SecretStr("secret")
    )
    arguments = kafka_arguments(secured)
    assert arguments["bootstrap_servers"] == ["a:1", "b:2"]
    assert arguments["ssl_context"].check_hostname
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-256"
    assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == ("relay", "secret")


def test_plain_text_says_nothing_of_users() -> None:
    assert kafka_arguments(Settings(kafka="a:1")) == {"bootstrap_servers": ["a:1"], "security_protocol": "PLAINTEXT"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kafka": ""}, "SCRIP_KAFKA is empty"),
        ({"kafka_security": "TLS"}, "SCRIP_KAFKA_SECURITY is TLS"),
        ({"kafka_security": "SASL_PLAINTEXT"}, "SCRIP_KAFKA_USERNAME"),
        ({"kafka_security": "SSL", "kafka_ca_file": "nowhere.pem"}, "SCRIP_KAFKA_CA_FILE nowhere.pem"),
    ],
)
def test_settings_that_cannot_work_are_named(given: dict[str, str], named: str) -> None:
    with pytest.raises(KafkaMisconfigured, match=named):
        kafka_arguments(Settings.model_validate({"kafka": "a:1", **given}))


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    with pytest.raises(KafkaMisconfigured, match="SCRIP_KAFKA_CA_FILE"):
        kafka_arguments(Settings(kafka="a:1", kafka_security="SSL", kafka_ca_file=str(file)))


def test_what_is_kept_of_each_topic() -> None:
    kept = {
        topic.name: ({**topic.guarded, **topic.others}["retention.ms"], topic.others.get("retention.bytes"))
        for topic in topics.topics_of(Settings(), 4)
    }
    day_ms = 86_400_000
    assert kept == {
        "scrip.ledger": ("-1", None),
        "scrip.usage": (str(7 * day_ms), None),
        "scrip.notifications": (str(7 * day_ms), str(1 << 30)),
        "scrip.decisions": (str(30 * day_ms), str(1 << 30)),
        "scrip.quarantine": (str(90 * day_ms), str(1 << 30)),
    }
