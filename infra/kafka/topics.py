"""The Kafka topics: their names, their settings, their only creator, and the comparison with what a broker has.

A topic's Channel declares what is on it. FastStream can create topics, not look at them: so this is aiokafka (0017).
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from infra.kafka.client import kafka_admin, kafka_arguments
from infra.postgres.selfcheck import UnsafeSetting
from infra.settings import Settings

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

# How large a record a topic takes: a broker has a limit for all (`message.max.bytes`), by default the same.
MAX_MESSAGE_BYTES = "max.message.bytes"
RECORD_BATCH_BYTES = 1_000_000  # of the relay's batches; below the broker's default limit of 1,048,588
EVERYWHERE_S = 15.0
_SET = 0  # the operation that sets one value


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
    async with kafka_admin(kafka_arguments(settings)) as admin:
        present = {found["topic"] for found in await _describe(admin, topics) if not found["error_code"]}
        missing = [topic for topic in topics if topic.name not in present]
        if missing:
            await _create(admin, missing, settings.kafka_replication)
        async with asyncio.timeout(DEADLINE_S):
            while not all(_has_leaders(found) for found in await _describe(admin, topics)):  # noqa: ASYNC110 - only polling shows it
                await asyncio.sleep(POLL_S)
        await _compare(admin, topics)
    return [topic.name for topic in missing]


async def check(settings: Settings, partitions: int) -> None:
    """Compare every topic, and the broker, with what Scrip needs.

    Raises UnsafeSetting naming the first setting that is wrong: a retention limit or compaction on the ledger,
    another number of partitions than the log's (`partitions`), a missing topic, automatic creation of topics.
    Raises KafkaError where the broker cannot be asked.
    """
    async with kafka_admin(kafka_arguments(settings)) as admin:
        await _compare(admin, topics_of(settings, partitions))


async def check_durable(settings: Settings, partitions: int) -> None:
    """Compare how many replicas the topics have, and must have in sync, with what `kafka_replication` promises.

    Also whether the ledger takes every event that may be committed. Not part of `check`, since a cluster that is being
    repaired must be served. Raises UnsafeSetting, KafkaError.
    """
    async with kafka_admin(kafka_arguments(settings)) as admin:
        topics = topics_of(settings, partitions)
        found = {one["topic"]: one for one in await _describe(admin, topics) if not one["error_code"]}
        for topic in topics:
            if topic.name not in found:
                continue  # `check` says so
            setting = "min.insync.replicas"
            needed = topic.others[setting]
            values = await _configured(admin, ConfigResourceType.TOPIC, topic.name, (setting, MAX_MESSAGE_BYTES))
            if int(values.get(setting) or 1) < int(needed):
                raise UnsafeSetting("Kafka", f"{setting} of {topic.name}", values.get(setting), needed)
            taken = values[MAX_MESSAGE_BYTES]
            if topic.guarded and int(taken) < RECORD_BATCH_BYTES:
                least = f"{RECORD_BATCH_BYTES} or more"
                raise UnsafeSetting("Kafka", f"{MAX_MESSAGE_BYTES} of {topic.name}", taken, least)
            fewest = min(len(part["replicas"]) for part in found[topic.name]["partitions"])
            if fewest < settings.kafka_replication:
                raise UnsafeSetting(
                    "Kafka", f"the number of replicas of {topic.name}", fewest, str(settings.kafka_replication)
                )


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
        values = await _configured(admin, ConfigResourceType.BROKER, node, (setting,))
        if values.get(setting) != "false":
            raise UnsafeSetting("Kafka", f"{setting} of broker {node}", values.get(setting), "false")


async def _configured(
    admin: AIOKafkaAdminClient, kind: ConfigResourceType, name: str, settings: Iterable[str]
) -> dict[str, str]:
    [answer] = await admin.describe_configs([ConfigResource(kind, name, dict.fromkeys(settings))])
    [(code, reason, _, _, entries)] = answer.resources
    if code:
        raise for_code(code)(f"the settings of {name} cannot be read: {reason}")
    return {entry[0]: entry[1] for entry in entries}


async def max_message_bytes(kafka: Mapping[str, Any], topic: str) -> int:
    """The most bytes of a batch of records that the topic takes. `kafka` are aiokafka's arguments.

    Raises KafkaError, also where the topic may not be asked.
    """
    async with kafka_admin(kafka) as admin:
        return await _max_message_bytes(admin, topic)


async def set_max_message_bytes(kafka: Mapping[str, Any], topic: str, limit: int, *, only_raise: bool = False) -> int:
    """Let the topic take batches of `limit` bytes and no more; returns what it takes then.

    `only_raise`: a larger limit is left alone; Kafka has no condition for a change, so another one may still come
    between the look and the change. No other setting of the topic changes. Raises KafkaError, also where that is not
    allowed; TimeoutError where the brokers do not say so soon.
    """
    async with kafka_admin(kafka) as admin:
        if only_raise and (now := await _max_message_bytes(admin, topic)) >= limit:
            return now
        request = _IncrementalAlter([(int(ConfigResourceType.TOPIC), topic, [(MAX_MESSAGE_BYTES, _SET, str(limit))])])
        answer = await admin._send_to_controller(request)  # noqa: SLF001 - aiokafka has no call for it
        for code, reason, _, _ in answer.resources:
            if code:
                raise for_code(code)(f"{MAX_MESSAGE_BYTES} of {topic} cannot be set to {limit}: {reason}")
        async with asyncio.timeout(EVERYWHERE_S):
            while (now := await _max_message_bytes(admin, topic)) != limit:
                if only_raise and now > limit:
                    break
                await asyncio.sleep(POLL_S)
        return now


async def _max_message_bytes(admin: AIOKafkaAdminClient, topic: str) -> int:
    values = await _configured(admin, ConfigResourceType.TOPIC, topic, (MAX_MESSAGE_BYTES,))
    return int(values[MAX_MESSAGE_BYTES])


# aiokafka knows only the older request, which sets every setting that it does not name back to its default.
class _IncrementalAlterResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _IncrementalAlterStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = _IncrementalAlterResponse
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(("name", String("utf-8")), ("config_operation", Int8), ("value", String("utf-8"))),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class _IncrementalAlter(Request[_IncrementalAlterStruct]):  # type: ignore[misc]
    API_KEY = 44

    def __init__(self, resources: list[tuple[int, str, list[tuple[str, int, str]]]]) -> None:
        self._resources = resources

    def build(self, request_struct_class: type[_IncrementalAlterStruct]) -> _IncrementalAlterStruct:
        return request_struct_class(self._resources, False)
