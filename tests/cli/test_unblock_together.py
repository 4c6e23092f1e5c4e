"""Two who make room in a topic at the same time: neither lowers what the other one raised."""

import asyncio
from typing import Any

import pytest

from cli.commands import operate
from infra.kafka.client import kafka_arguments
from infra.kafka.topics import max_message_bytes, set_max_message_bytes
from infra.relay import unblocking
from infra.settings import Settings
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


class Standing:
    """A partition whose events need LARGE, and somebody who sets the limit to SMALL by hand.

    It stands still at `positions`, one after the other: each is published once there has been room for it.
    """

    def __init__(self, settings: Settings, positions: list[int]) -> None:
        self._settings, self._positions = settings, positions
        self._looks = 0

    def lower(self) -> None:
        asyncio.run(set_max_message_bytes(kafka_arguments(self._settings), ledger(self._settings), SMALL))

    def stops(self, _settings: Settings, _partition: int | None = None) -> list[unblocking.Stopped]:
        self._looks += 1
        if self._positions and self._looks > 2 and limit(self._settings) >= LARGE:
            self._positions.pop(0)
            if self._positions:
                self.lower()
        elif self._looks == 2:
            self.lower()
        return [unblocking.Stopped(0, position, "too large", LARGE) for position in self._positions[:1]]


@pytest.mark.parametrize("later", [[], [7], [7, 9]], ids=["lowered", "and stands again", "twice"])
def test_what_somebody_lowers_while_a_command_waits_is_raised_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, later: list[int]
) -> None:
    standing = Standing(settings, [2, *later])
    monkeypatch.setattr(unblocking, "stopped_partitions", standing.stops)
    monkeypatch.setattr(operate, "UNBLOCK_LOOK_S", 0.0)
    (told,) = operate._unblocked(settings, None)
    assert (told["position"], told["published"]) == (2, True)
    now = -(-LARGE // unblocking.STEP) * unblocking.STEP
    assert told["message"].endswith(f"takes {now:,}; published")
    assert limit(settings) == now


def test_a_partition_that_stands_still_again_is_not_said_to_go_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event went out, and a later one stands still for as long as the command waits."""
    standing = Standing(settings, [2, *range(7, 1_000)])
    monkeypatch.setattr(unblocking, "stopped_partitions", standing.stops)
    monkeypatch.setattr(operate, "UNBLOCK_LOOK_S", 0.0)
    monkeypatch.setattr(operate, "UNBLOCK_PATIENCE_S", 1.0)
    first, later = operate._unblocked(settings, None)
    assert (first["position"], first["published"]) == (2, True)
    assert later["position"] > 2
    assert not later["published"]
    assert "NOT published yet" in later["message"]
