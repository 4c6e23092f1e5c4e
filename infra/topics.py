"""The Kafka topics: their names, their settings, their only creator, and the comparison with what a broker has.

What is on a topic says its Channel. FastStream can create topics, not look at them: so this is aiokafka (0017).
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from infra.kafka_client import kafka_arguments
from infra.settings import Settings
from infra.topic_limit import RECORD_BATCH_BYTES, SETTING
from infra.unsafe_setting import UnsafeSetting

LEDGER = "scrip.ledger"
USAGE = "scrip.usage"
NOTIFICATIONS = "scrip.notifications"
DECISIONS = "scrip.decisions"
QUARANTINE = "scrip.quarantine"
PROJECTOR, INTAKE, NOTIFIER = "scrip-projector", "scrip-intake", "scrip-notifier"  # consumer groups

DAYS = {USAGE: (12, 7), NOTIFICATIONS: (3, 7), DECISIONS: (3, 30), QUARANTINE: (3, 90)}  # partitions, days kept
MAX_BYTES = 1 << 30  # of a partition, for what is not the ledger's and not usage; the oldest segment goes
DAY_MS = 86_400_000
FOR_EVER = "-1"
DEADLINE_S = 30.0  # for a new topic to have leaders
POLL_S = 0.05


@dataclass(frozen=True)
class Topic:
    """A topic as it must be. `guarded` settings are compared with the broker's; the others only set at creation."""

    name: str
    partitions: int
    guarded: dict[str, str]
    others: dict[str, str]


def topic_name(settings: Settings, topic: str) -> str:
    """The full name of one of the topics and groups above, in this deployment."""
    return settings.topic_prefix + topic


def topics_of(settings: Settings, partitions: int) -> list[Topic]:
    """All topics of a deployment whose log has `partitions` partitions."""
    # One broker of three may be down and nothing acknowledged is on a single disk; fewer cannot give both.
    durable = {
        "min.insync.replicas": "2" if settings.kafka_replication >= 3 else "1",
        "unclean.leader.election.enable": "false",
    }
    kept_for_ever = {"retention.ms": FOR_EVER, "retention.bytes": FOR_EVER, "cleanup.policy": "delete"}
    # The broker refuses records whose own time lies ahead (P-41); with its time of arrival there are none.
    ledger = Topic(
        topic_name(settings, LEDGER),
        partitions,
        {**kept_for_ever, "message.timestamp.type": "LogAppendTime"},
        durable,
    )
    return [ledger] + [
        Topic(topic_name(settings, name), count, {}, {**durable, "retention.ms": str(days * DAY_MS)} | _sized(name))
        for name, (count, days) in DAYS.items()
    ]


def _sized(name: str) -> dict[str, str]:
    """Usage events are money until they are applied: they go with time alone. The rest is in the database too."""
    return {} if name == USAGE else {"retention.bytes": str(MAX_BYTES)}


async def provision(settings: Settings, partitions: int) -> list[str]:
    """Create the topics that are missing and return their names; existing ones are left as they are.

    `partitions` is that of the log. Returns when every topic has its leaders. Raises UnsafeSetting as `check`
    does, KafkaError where a topic cannot be created, TimeoutError after 30 s.
    """
    topics = topics_of(settings, partitions)
    admin = AIOKafkaAdminClient(**kafka_arguments(settings))
    await admin.start()
    try:
        present = {found["topic"] for found in await _describe(admin, topics) if not found["error_code"]}
        missing = [topic for topic in topics if topic.name not in present]
        if missing:
            await _create(admin, missing, settings.kafka_replication)
        async with asyncio.timeout(DEADLINE_S):
            while not all(_has_leaders(found) for found in await _describe(admin, topics)):  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(POLL_S)
        await _compare(admin, topics)
    finally:
        await admin.close()
    return [topic.name for topic in missing]


async def check(settings: Settings, partitions: int) -> None:
    """Compare every topic, and the broker, with what Scrip needs.

    Raises UnsafeSetting naming the first setting that is wrong: a retention limit or compaction on the ledger,
    another number of partitions than the log's (`partitions`), a missing topic, automatic creation of topics.
    Raises KafkaError where the broker cannot be asked.
    """
    admin = AIOKafkaAdminClient(**kafka_arguments(settings))
    try:
        await admin.start()
        await _compare(admin, topics_of(settings, partitions))
    finally:
        await admin.close()


async def check_durable(settings: Settings, partitions: int) -> None:
    """Compare how many replicas the topics have, and must have in sync, with what `kafka_replication` promises.

    Also whether the ledger takes every event that may be committed. Not part of `check`, since a cluster that is being
    repaired must be served. Raises UnsafeSetting, KafkaError.
    """
    admin = AIOKafkaAdminClient(**kafka_arguments(settings))
    try:
        await admin.start()
        topics = topics_of(settings, partitions)
        found = {one["topic"]: one for one in await _describe(admin, topics) if not one["error_code"]}
        for topic in topics:
            if topic.name not in found:
                continue  # `check` says so
            setting = "min.insync.replicas"
            needed = topic.others[setting]
            values = await _configured(admin, ConfigResourceType.TOPIC, topic.name, {setting: needed})
            if int(values.get(setting) or 1) < int(needed):
                raise UnsafeSetting("Kafka", f"{setting} of {topic.name}", values.get(setting), needed)
            if topic.guarded:
                values = await _configured(admin, ConfigResourceType.TOPIC, topic.name, {SETTING: ""})
                if int(values[SETTING]) < RECORD_BATCH_BYTES:
                    least = f"{RECORD_BATCH_BYTES} or more"
                    raise UnsafeSetting("Kafka", f"{SETTING} of {topic.name}", values[SETTING], least)
            fewest = min(len(part["replicas"]) for part in found[topic.name]["partitions"])
            if fewest < settings.kafka_replication:
                raise UnsafeSetting(
                    "Kafka", f"the number of replicas of {topic.name}", fewest, str(settings.kafka_replication)
                )
    finally:
        await admin.close()


async def _describe(admin: AIOKafkaAdminClient, topics: list[Topic]) -> list[dict[str, Any]]:
    return list(await admin.describe_topics([topic.name for topic in topics]))


def _has_leaders(found: dict[str, Any]) -> bool:
    return not found["error_code"] and all(part["leader"] >= 0 for part in found["partitions"])


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic], replication: int) -> None:
    answer = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, replication, topic_configs={**topic.guarded, **topic.others})
            for topic in topics
        ]
    )
    for name, code, reason in answer.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):  # another process may provision at the same time
            raise for_code(code)(f"the topic {name} cannot be created: {reason}")


async def _compare(admin: AIOKafkaAdminClient, topics: list[Topic]) -> None:
    await _compare_broker(admin)
    found = {one["topic"]: one for one in await _describe(admin, topics)}
    for topic in topics:
        error = found[topic.name]["error_code"]
        if error == UnknownTopicOrPartitionError.errno:
            raise UnsafeSetting("Kafka", f"the topic {topic.name}", "missing", "created by `scrip up` or `provision`")
        if error:
            raise for_code(error)(f"the topic {topic.name} cannot be described")
        count = len(found[topic.name]["partitions"])
        # More partitions elsewhere only spread the load; in the ledger partition k is the log's partition k.
        if count != topic.partitions and topic.guarded:
            raise UnsafeSetting(
                "Kafka", f"the number of partitions of {topic.name}", count, f"{topic.partitions}, as in the log"
            )
        if topic.guarded:
            values = await _configured(admin, ConfigResourceType.TOPIC, topic.name, topic.guarded)
            for setting, needed in topic.guarded.items():
                if values.get(setting) != needed:
                    raise UnsafeSetting("Kafka", f"{setting} of {topic.name}", values.get(setting), needed)


async def _compare_broker(admin: AIOKafkaAdminClient) -> None:
    setting = "auto.create.topics.enable"
    cluster = await admin.describe_cluster()
    for broker in cluster["brokers"]:
        node = str(broker["node_id"])
        values = await _configured(admin, ConfigResourceType.BROKER, node, {setting: ""})
        if values.get(setting) != "false":
            raise UnsafeSetting("Kafka", f"{setting} of broker {node}", values.get(setting), "false")


async def _configured(
    admin: AIOKafkaAdminClient, kind: ConfigResourceType, name: str, settings: dict[str, str]
) -> dict[str, str]:
    [answer] = await admin.describe_configs([ConfigResource(kind, name, dict.fromkeys(settings))])
    [(code, reason, _, _, entries)] = answer.resources
    if code:
        raise for_code(code)(f"the settings of {name} cannot be read: {reason}")
    return {entry[0]: entry[1] for entry in entries}
