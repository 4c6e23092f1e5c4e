"""How large a record a topic takes: what it says, and how it is told to take more.

A broker has a limit for all topics (`message.max.bytes`) and one for each (`max.message.bytes`, by default the same).
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

SETTING = "max.message.bytes"
RECORD_BATCH_BYTES = 1_000_000  # of the relay's batches; below the broker's default limit of 1,048,588
EVERYWHERE_S, POLL_S = 15.0, 0.05
_SET = 0  # the operation that sets one value


async def max_message_bytes(kafka: Mapping[str, Any], topic: str) -> int:
    """The most bytes of a batch of records that the topic takes. `kafka` are aiokafka's arguments.

    Raises KafkaError, also where the topic may not be asked.
    """
    admin = AIOKafkaAdminClient(**kafka)
    try:
        await admin.start()
        return await _ask(admin, topic)
    finally:
        await admin.close()


async def set_max_message_bytes(kafka: Mapping[str, Any], topic: str, limit: int, *, only_raise: bool = False) -> int:
    """Let the topic take batches of `limit` bytes and no more; returns what it takes then.

    `only_raise`: a larger limit is left alone; Kafka has no condition for a change, so another one may still come
    between the look and the change. No other setting of the topic changes. Raises KafkaError, also where that is not
    allowed; TimeoutError where the brokers do not say so soon.
    """
    admin = AIOKafkaAdminClient(**kafka)
    try:
        await admin.start()
        if only_raise and (now := await _ask(admin, topic)) >= limit:
            return now
        request = _IncrementalAlter([(int(ConfigResourceType.TOPIC), topic, [(SETTING, _SET, str(limit))])])
        answer = await admin._send_to_controller(request)  # noqa: SLF001 - aiokafka has no call for it
        for code, reason, _, _ in answer.resources:
            if code:
                raise for_code(code)(f"{SETTING} of {topic} cannot be set to {limit}: {reason}")
        async with asyncio.timeout(EVERYWHERE_S):
            while (now := await _ask(admin, topic)) != limit:
                if only_raise and now > limit:
                    break
                await asyncio.sleep(POLL_S)
        return now
    finally:
        await admin.close()


async def _ask(admin: AIOKafkaAdminClient, topic: str) -> int:
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {SETTING: None})])
    [(code, reason, _, _, entries)] = answer.resources
    if code:
        raise for_code(code)(f"the settings of {topic} cannot be read: {reason}")
    return int(entries[0][1])


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
