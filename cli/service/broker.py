"""Brings the servers of a service to what Scrip needs of them, and checks that they are."""

from __future__ import annotations

import asyncio

from infra.selfcheck import check_postgres
from infra.settings import Settings
from infra.topics import provision


def prepare_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing, compare all with what they must be, and return the names of the new ones.

    `settings.partitions` must be the log's. Raises UnsafeSetting, KafkaError, TimeoutError.
    """
    return asyncio.run(provision(settings, settings.partitions))


def check_database(settings: Settings) -> None:
    """Refuse a database that could lose what it acknowledges. Raises UnsafeSetting, psycopg.Error."""
    check_postgres(settings.writer_url.get_secret_value(), settings.partitions)
