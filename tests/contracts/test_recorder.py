"""The recorder passes the test cases that the library eventsourcing ships for recorders."""

from collections.abc import Iterator
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)
from psycopg_pool import ConnectionPool

from domain.credits.grant import Grant
from domain.registry import SCRIP
from infra.log.chain import GENESIS, link_of
from infra.log.recorder import ScripRecorder, StreamRecorder
from infra.writer.submission import Submission
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.infra.writer.ledger_kit import check_log, stored
from tests.waiting import joined, patient

ORG = "acme"


@pytest.fixture
def pool(database: Database) -> Iterator["ConnectionPool[Any]"]:
    """Connections for as many threads as the shipped cases start."""
    with ConnectionPool(
        database.writer_uri, min_size=2, max_size=14, kwargs={"autocommit": True}, timeout=patient(60)
    ) as connections:
        yield connections


@pytest.fixture
def recorder(pool: "ConnectionPool[Any]") -> ScripRecorder:
    """A recorder on an empty log."""
    return ScripRecorder(pool, ORG, PARTITIONS)


class _OnDatabase:
    """Gives the shipped cases, which know no fixtures, their database; the log is sound after each of them."""

    pool: "ConnectionPool[Any]"

    @pytest.fixture(autouse=True)
    def given(self, pool: "ConnectionPool[Any]", database: Database) -> Iterator[None]:
        type(self).pool = pool
        yield
        _check_chain(database)


class TestStreamRecorder(_OnDatabase, AggregateRecorderTestCase):
    """Events by stream."""

    def create_recorder(self) -> StreamRecorder:
        return StreamRecorder(self.pool, ORG, PARTITIONS)


class TestStreamRecorderWithTextIds(TestStreamRecorder):
    """The same with ids that are texts."""

    def new_originator_id(self) -> UUID | str:
        return f"order-{uuid4()}"


class TestApplicationRecorder(_OnDatabase, ApplicationRecorderTestCase[ScripRecorder]):
    """Events by stream and in the order of all; ten threads write side by side."""

    def create_recorder(self) -> ScripRecorder:
        return ScripRecorder(self.pool, ORG, PARTITIONS)

    def test_insert_subscribe(self) -> None:
        """The case that the library leaves to those who have subscriptions."""
        self.optional_test_insert_subscribe()


class TestNotificationIdsDoNotInterleave(_OnDatabase, NonInterleavingNotificationIDsBaseCase):
    """Two large inserts at once: one is wholly before the other."""

    def create_recorder(self) -> ScripRecorder:
        return ScripRecorder(self.pool, ORG, PARTITIONS)


def test_the_writer_and_the_recorder_share_one_log(recorder: ScripRecorder, database: Database) -> None:
    """They take the same lock, so that neither forks the chain that the other continues."""

    def record(number: int) -> None:
        for turn in range(20):
            recorder.insert_events([StoredEvent(f"s-{number}", turn + 1, "topic", b"{}")])

    threads = [Thread(target=record, args=(number,)) for number in range(3)]
    with Writer(database.writer_uri, SCRIP) as writer:
        for thread in threads:
            thread.start()
        for turn in range(20):
            command = Grant(address="user:alice:credits", grant_id=f"g-{turn}", amount=1, source="purchase")
            writer.submit([Submission(org=ORG, command=command, actor="test", caller="test")]).result(30)
        joined(*threads)
    assert len(check_log(database.owner_uri)) == 80


def test_another_organisation_of_the_partition_is_not_seen(pool: "ConnectionPool[Any]", database: Database) -> None:
    ours, theirs = (ScripRecorder(pool, org, 1) for org in ("acme", "other"))
    assert ours.insert_events([StoredEvent("s", 1, "topic", b"1")]) == [1]
    assert theirs.insert_events([StoredEvent("s", 1, "topic", b"2")]) == [2]
    assert ours.insert_events([StoredEvent("s", 2, "topic", b"3")]) == [3]
    assert [item.id for item in ours.select_notifications(None, 10)] == [1, 3]
    assert theirs.max_notification_id() == 2
    assert [item.state for item in ours.select_events("s")] == [b"1", b"3"]
    check_log(database.owner_uri)


def test_an_id_comes_back_as_what_it_was(recorder: ScripRecorder) -> None:
    same = uuid4()
    recorder.insert_events([StoredEvent(same, 1, "topic", b""), StoredEvent(str(same), 1, "topic", b"")])
    assert [item.originator_id for item in recorder.select_notifications(None, 10)] == [same, str(same)]


def test_nothing_is_tried_again_behind_the_callers_back(
    recorder: ScripRecorder, pool: "ConnectionPool[Any]", database: Database
) -> None:
    """The library would retry ten times, and take its own committed events for somebody else's (P-06)."""
    tries = 0
    with psycopg.connect(database.owner_uri, autocommit=True) as owner:
        owner.execute(
            "create function die() returns trigger language plpgsql as $$ begin"
            " perform nextval('tries'); perform pg_terminate_backend(pg_backend_pid()); return null; end $$"
        )
        owner.execute("create sequence tries")
        owner.execute("grant usage on sequence tries to scrip_writer")
        owner.execute("alter function die() security definer")
        owner.execute("create trigger die after insert on events for each statement execute function die()")
        with pytest.raises(OperationalError):
            recorder.insert_events([StoredEvent("s", 1, "topic", b"")])
        owner.execute("drop trigger die on events")
        (tries,) = owner.execute("select last_value from tries").fetchone() or (0,)
    assert tries == 1
    recorder.insert_events([StoredEvent("s", 1, "topic", b"")])
    with pytest.raises(IntegrityError):
        recorder.insert_events([StoredEvent("s", 1, "topic", b"")])


def _check_chain(database: Database) -> None:
    """The shipped cases number some streams from 0, so versions are left out here."""
    previous = GENESIS
    for position, event in enumerate(stored(database.owner_uri), 1):
        assert event.position == position
        assert event.hash == link_of(previous, event)
        previous = event.hash
