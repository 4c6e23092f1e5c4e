"""The log in PostgreSQL passes our cases, and those that the library eventsourcing ships for recorders."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from psycopg_pool import ConnectionPool

from domain.credits.commands import Grant
from domain.registry import SCRIP
from infra.log.chain import GENESIS, link_of
from infra.log.mapper import LedgerMapper
from infra.log.postgres import PostgresLog, sessions_of
from infra.log.recorder import EventLog, OrganisationLog
from infra.partitions import partition_of
from infra.writer.submission import Submission
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.contracts.cases import ORG, STREAM, LogCases, drafted, neighbour
from tests.contracts.shipped import Notifications, NotInterleaved, OfOrganisation, OfPartition, Streams, TextIds
from tests.infra.writer.ledger_kit import check_log, stored
from tests.waiting import joined, patient

THREADS = 14  # as many as the shipped cases start, and a few


@contextmanager
def opened(database: Database, *, foreign: bool) -> Iterator[EventLog]:
    with PostgresLog.open(
        database.writer_uri, LedgerMapper.of(SCRIP), application="test", pool=THREADS, foreign=foreign
    ) as log:
        yield log


@pytest.fixture
def log(database: Database) -> Iterator[EventLog]:
    """An empty log."""
    with opened(database, foreign=False) as log:
        yield log
    _check_chain(database)


@pytest.fixture
def foreign(database: Database) -> Iterator[EventLog]:
    """An empty log that takes events of any type."""
    with opened(database, foreign=True) as log:
        yield log


@pytest.fixture
def recorder(foreign: EventLog) -> OrganisationLog:
    """An organisation of it."""
    return foreign.organisation(ORG)


class TestPostgresLog(LogCases):
    """Our own cases."""


class _OnDatabase(OfOrganisation):
    """Gives the shipped cases their log; it is sound after each of them."""

    __test__ = True

    @pytest.fixture(autouse=True)
    def given(self, foreign: EventLog, database: Database) -> Iterator[None]:
        type(self).log = foreign
        yield
        _check_chain(database)


class TestStreams(_OnDatabase, Streams):
    """Events by stream."""


class TestStreamsWithTextIds(_OnDatabase, TextIds, Streams):
    """The same with ids that are texts."""


class TestStreamsOfAPartition(_OnDatabase, OfPartition, Streams):
    """The same in a partition."""


class TestNotifications(_OnDatabase, Notifications):
    """Events by stream and in the order of all; ten threads write side by side."""


class TestNotificationsOfAPartition(_OnDatabase, OfPartition, Notifications):
    """The same in a partition."""


class TestNotificationIdsDoNotInterleave(_OnDatabase, NotInterleaved):
    """Two large inserts at once: one is wholly before the other."""


class TestNotificationIdsOfAPartitionDoNotInterleave(_OnDatabase, OfPartition, NotInterleaved):
    """The same in a partition."""


def test_the_writer_and_the_recorder_share_one_log(recorder: OrganisationLog, database: Database) -> None:
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


def test_another_organisation_of_the_partition_is_not_seen(foreign: EventLog, database: Database) -> None:
    ours, theirs = (foreign.organisation(org) for org in ("acme", neighbour(foreign)))
    assert ours.insert_events([StoredEvent("s", 1, "topic", b"1")]) == [1]
    assert theirs.insert_events([StoredEvent("s", 1, "topic", b"2")]) == [2]
    assert ours.insert_events([StoredEvent("s", 2, "topic", b"3")]) == [3]
    assert [item.id for item in ours.select_notifications(None, 10)] == [1, 3]
    assert theirs.max_notification_id() == 2
    assert [item.state for item in ours.select_events("s")] == [b"1", b"3"]
    check_log(database.owner_uri)


def test_an_id_comes_back_as_what_it_was(recorder: OrganisationLog) -> None:
    same = uuid4()
    recorder.insert_events([StoredEvent(same, 1, "topic", b""), StoredEvent(str(same), 1, "topic", b"")])
    assert [item.originator_id for item in recorder.select_notifications(None, 10)] == [same, str(same)]


def test_nothing_is_tried_again_behind_the_callers_back(recorder: OrganisationLog, database: Database) -> None:
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


def test_a_login_that_may_see_one_organisation_sees_that_one_in_each_read(log: EventLog, database: Database) -> None:
    """Row level security, on one connection that both take in turn."""
    other = neighbour(log)
    for number, org in enumerate((ORG, other, other, ORG), 1):
        log.organisation(org).insert_events([drafted(org, STREAM, (number + 1) // 2)])
    kwargs = {"autocommit": True}
    with (
        ConnectionPool(database.reader_uri, min_size=1, max_size=1, kwargs=kwargs, timeout=patient(30)) as reader,
        ConnectionPool(database.auditor_uri, min_size=1, max_size=1, kwargs=kwargs, timeout=patient(30)) as auditor,
    ):
        of_one, of_all = sessions_of(reader), sessions_of(auditor)
        seen = PostgresLog(
            lambda org: of_all(org) if org is None else of_one(org), LedgerMapper.of(SCRIP), log.partitions, log.id
        )
        for _ in range(2):
            for org, positions in ((ORG, [1, 4]), (other, [2, 3])):
                view = seen.organisation(org)
                assert [event.position for event in view.select_notifications(None, 9)] == positions
                assert [event.position for event in view.select_events(f"{org}/{STREAM}")] == positions
        home = seen.partition(partition_of(ORG, PARTITIONS))
        assert [event.position for event in home.select_notifications(None, 9)] == [1, 2, 3, 4]
        with of_one(None) as session:
            assert session.execute("select count(*) from events").fetchone() == (0,), "no setting was left behind"


def test_a_log_within_a_transaction_sees_one_moment(log: EventLog, database: Database) -> None:
    view = log.organisation(ORG)
    view.insert_events([drafted(ORG, STREAM, 1)])
    with psycopg.connect(database.auditor_uri) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        within = PostgresLog.within(connection, LedgerMapper.of(SCRIP))
        before = within.heads()
        view.insert_events([drafted(ORG, STREAM, 2)])
        assert within.heads() == before != log.heads()
        assert len(list(within.by_stream(dict.fromkeys(range(PARTITIONS), 9)))) == 1
        assert within.organisation(ORG).max_notification_id() == 1


def test_what_the_database_cannot_answer_is_the_librarys_error(database: Database) -> None:
    with PostgresLog.open(database.writer_uri, LedgerMapper.of(SCRIP), application="test") as log:
        pass
    with pytest.raises(OperationalError):
        log.heads()
    with pytest.raises(OperationalError):
        log.organisation(ORG).insert_events([drafted(ORG, STREAM, 1)])


def _check_chain(database: Database) -> None:
    """The shipped cases number some streams from 0, so versions are left out here."""
    previous = GENESIS
    for position, event in enumerate(stored(database.owner_uri), 1):
        assert event.position == position
        assert event.hash == link_of(previous, event)
        previous = event.hash
