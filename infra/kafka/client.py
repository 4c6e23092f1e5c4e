"""How every Kafka client of Scrip connects: the one place that turns settings into aiokafka's arguments."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ssl import SSLContext, create_default_context
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

import infra.kafka.batches  # noqa: F401 - every consumer reads past what it cannot read
from infra.settings import Settings

SECURITY = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


class KafkaMisconfigured(ValueError):
    """The SCRIP_KAFKA… settings cannot work together; the text names the one to change."""


def kafka_arguments(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for aiokafka's producer, consumer and admin client alike.

    Raises KafkaMisconfigured naming the setting, e.g. where SASL is asked for and no user is given.
    """
    security = settings.kafka_security
    if not settings.kafka:
        raise KafkaMisconfigured("SCRIP_KAFKA is empty: name the brokers as host:port[,host:port]")
    if security not in SECURITY:
        raise KafkaMisconfigured(f"SCRIP_KAFKA_SECURITY is {security}; it must be one of {', '.join(SECURITY)}")
    arguments: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.kafka.split(",")],
        "security_protocol": security,
    }
    if security.endswith("SSL"):
        arguments["ssl_context"] = _tls(settings.kafka_ca_file)
    if security.startswith("SASL"):
        if not (settings.kafka_username and settings.kafka_password.get_secret_value()):
            raise KafkaMisconfigured(f"{security} needs SCRIP_KAFKA_USERNAME and SCRIP_KAFKA_PASSWORD")
        arguments["sasl_mechanism"] = "SCRAM-SHA-256"
        arguments["sasl_plain_username"] = settings.kafka_username
        arguments["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return arguments


@asynccontextmanager
async def kafka_admin(kafka: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, started. `kafka` are `kafka_arguments`. Raises KafkaError where no broker answers."""
    admin = AIOKafkaAdminClient(**kafka)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


def _tls(ca_file: str) -> SSLContext:
    try:
        return create_default_context(cafile=ca_file or None)  # none: the system's own authorities
    except OSError as error:  # SSLError, raised for a file that is no certificate, is one too
        raise KafkaMisconfigured(f"SCRIP_KAFKA_CA_FILE {ca_file} cannot be read: {error}") from error
