"""The log in memory passes the cases of the one in PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from domain.registry import SCRIP
from infra.log.chain import GENESIS, TICK, link_of
from infra.log.mapper import LedgerMapper
from infra.log.memory import MemoryLog
from infra.log.recorder import EventLog
from tests.conftest import PARTITIONS
from tests.contracts.cases import ORG, STREAM, LogCases, drafted
from tests.contracts.shipped import Notifications, NotInterleaved, OfOrganisation, OfPartition, Streams, TextIds

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def made(*, foreign: bool) -> MemoryLog:
    seconds = count()
    return MemoryLog(
        LedgerMapper.of(SCRIP), lambda: START + timedelta(seconds=next(seconds)), partitions=PARTITIONS, foreign=foreign
    )


@pytest.fixture
def log() -> Iterator[EventLog]:
    """An empty log."""
    log = made(foreign=False)
    yield log
    _check_chain(log)


class TestMemoryLog(LogCases):
    """Our own cases."""


class _InMemory(OfOrganisation):
    """Gives the shipped cases their log; it is sound after each of them."""

    __test__ = True

    @pytest.fixture(autouse=True)
    def given(self) -> Iterator[None]:
        type(self).log = made(foreign=True)
        yield
        _check_chain(self.log)


class TestStreams(_InMemory, Streams):
    """Events by stream."""


class TestStreamsWithTextIds(_InMemory, TextIds, Streams):
    """The same with ids that are texts."""


class TestStreamsOfAPartition(_InMemory, OfPartition, Streams):
    """The same in a partition."""


class TestNotifications(_InMemory, Notifications):
    """Events by stream and in the order of all; ten threads write side by side."""


class TestNotificationsOfAPartition(_InMemory, OfPartition, Notifications):
    """The same in a partition."""


class TestNotificationIdsDoNotInterleave(_InMemory, NotInterleaved):
    """Two large inserts at once: one is wholly before the other."""


class TestNotificationIdsOfAPartitionDoNotInterleave(_InMemory, OfPartition, NotInterleaved):
    """The same in a partition."""


def test_time_never_stands_still_or_goes_back() -> None:
    times = iter([START, START, START - timedelta(days=1)])
    log = MemoryLog(LedgerMapper.of(SCRIP), lambda: next(times))
    for version in (1, 2, 3):
        log.organisation(ORG).insert_events([drafted(ORG, STREAM, version)])
    found = log.partition(0).select_notifications(None, 9)
    assert [event.time for event in found] == [START, START + TICK, START + 2 * TICK]


def _check_chain(log: EventLog) -> None:
    for partition, head in log.heads().items():
        previous = GENESIS
        for position, event in enumerate(log.partition(partition).select_notifications(None, head + 1), 1):
            assert event.position == position
            assert event.hash == link_of(previous, event)
            previous = event.hash
