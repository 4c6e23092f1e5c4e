"""FastStream's broker with the settings that keep every event; its own defaults lose some (reliability, rule 5)."""

import logging
from typing import Any

from aiokafka import ConsumerRecord
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaAckableMessage
from faststream.security import BaseSecurity, SASLScram256

from infra.kafka_client import kafka_arguments
from infra.settings import Settings

# For every subscriber, beside MANUAL acknowledgement.
SUBSCRIBER: dict[str, Any] = {
    "auto_offset_reset": "earliest",
    "isolation_level": "read_committed",
    "session_timeout_ms": 10_000,
    "no_reply": True,  # a `reply_to` header of a stranger must not make us write to a topic
}


def consuming_broker(settings: Settings, client_id: str, log: logging.Logger) -> KafkaBroker:
    """A broker that only reads, creates no topics and hands over messages as they are.

    Raises KafkaMisconfigured where the settings cannot work together.
    """
    arguments = kafka_arguments(settings)
    return KafkaBroker(
        arguments["bootstrap_servers"],
        client_id=client_id,
        security=_security(arguments),
        consumer_only=True,
        allow_auto_create_topics=False,
        apply_types=False,
        graceful_timeout=15.0,
        logger=log,
    )


def _security(arguments: dict[str, Any]) -> BaseSecurity | None:
    protocol, context = arguments["security_protocol"], arguments.get("ssl_context")
    if protocol.startswith("SASL"):
        return SASLScram256(
            arguments["sasl_plain_username"], arguments["sasl_plain_password"], context, use_ssl=protocol == "SASL_SSL"
        )
    return BaseSecurity(context) if protocol == "SSL" else None


async def as_it_is(records: tuple["ConsumerRecord[bytes, bytes]", ...]) -> KafkaAckableMessage:
    """A parser for batches that hands them over as they came.

    FastStream's own parser decodes all headers of all records: the reader would decode them again, and one header that
    is not UTF-8 would cost the batch.
    """
    first, last = records[0], records[-1]
    return KafkaAckableMessage(
        raw_message=records,
        body=b"",
        message_id=f"{first.partition}-{first.offset}-{last.partition}-{last.offset}",
        consumer=FAKE_CONSUMER,  # never acknowledged through the message: checkpoints or explicit offsets are
    )


async def undecoded(message: KafkaAckableMessage) -> Any:
    """The records of such a message."""
    return message.raw_message
