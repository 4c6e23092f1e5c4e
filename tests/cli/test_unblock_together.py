"""Two who make room in a topic at the same time: neither lowers what the other one raised."""

import asyncio
from typing import Any

import pytest

from cli.commands import unblock
from infra.kafka_client import kafka_arguments
from infra.relay import unblocking
from infra.settings import Settings
from infra.topic_limit import max_message_bytes, set_max_message_bytes
from tests.conftest import Database
from tests.infra.relaying import deployed, ledger

SMALL, LARGE = 1_500_000, 2_500_000


@pytest.fixture
def settings(database: Database, kafka: str, topic_prefix: str) -> Settings:
    """A deployment's topics."""
    return deployed(database.relay_uri, kafka, topic_prefix)


def limit(settings: Settings) -> int:
    return asyncio.run(max_message_bytes(kafka_arguments(settings), ledger(settings)))


def test_what_was_raised_since_the_first_look_is_left_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def as_it_was(kafka: Any, topic: str) -> int:
        """The other one's change comes right after the look."""
        before = await max_message_bytes(kafka, topic)
        await set_max_message_bytes(kafka, topic, LARGE)
        return before

    monkeypatch.setattr(unblocking, "max_message_bytes", as_it_was)
    assert unblocking.make_room(settings, SMALL).now == LARGE
    assert limit(settings) == LARGE


def test_what_somebody_lowers_while_a_command_waits_is_raised_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    unblocking.make_room(settings, LARGE)
    raised = limit(settings)
    looks = 0

    def stops(_settings: Settings, _partition: int | None = None) -> list[unblocking.Stopped]:
        """The event stands still until there is room for it."""
        nonlocal looks
        looks += 1
        if looks == 1:
            asyncio.run(set_max_message_bytes(kafka_arguments(settings), ledger(settings), SMALL))
        return [] if looks > 1 and limit(settings) == raised else [unblocking.Stopped(0, 2, "", LARGE)]

    monkeypatch.setattr(unblocking, "stopped_partitions", stops)
    monkeypatch.setattr(unblock, "LOOK_S", 0.0)
    monkeypatch.setattr(unblock, "PATIENCE_S", 10.0)
    unblock._wait(settings, {0: 2}, LARGE)
    assert limit(settings) == raised
