"""Current states are read without a lock, as of one moment."""

import logging

import pytest

from domain.credits.address import debit_tag, grant_tag, stream_of
from domain.registry import SCRIP
from infra.log import statements
from infra.log.postgres import PostgresLog
from infra.partitions import partition_of
from infra.writer.questions import Query
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.infra.writer.asking import Asking, seen_by, sent_by_readers
from tests.infra.writer.ledger_kit import (
    ALICE,
    BOB,
    ORG,
    accepted,
    account,
    debit,
    grant,
    locked,
    stored,
    submission,
    until,
    waiting_for_lock,
)

OF_ALICE, OF_BOB = stream_of(ALICE), stream_of(BOB)


def available(reader: Asking, stream: str = OF_ALICE) -> int:
    found: int = reader.now(ORG, [stream]).states[stream].available
    return found


def test_reads_are_answered_while_another_session_holds_the_lock(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    with Asking(database.writer_uri, SCRIP) as warm, Asking(database.writer_uri, SCRIP) as cold:
        assert available(warm) == 10
        with locked(database.writer_uri):
            assert account(writer).available == 10
            waiting = writer.submit([submission(debit("d-1"))])
            until(lambda: waiting_for_lock(database.owner_uri), "the writer waits for its lock")
            assert available(warm) == available(cold) == 10
            assert not waiting.done()
        assert waiting.result(30)
        assert available(warm) == available(cold) == 9
    assert account(writer).available == 9


def test_a_read_sees_what_others_have_committed_and_nothing_that_is_not(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    with Asking(database.writer_uri, SCRIP) as reader, Writer(database.writer_uri, SCRIP) as other:
        assert available(reader) == 10
        accepted(other, debit("d-1", 3))
        assert available(reader) == account(writer).available == 7
        with locked(database.writer_uri) as session:
            session.execute(
                "insert into events select partition, position + 1, org, stream, version + 1, type, tag, actor, time,"
                " data, hash from events order by position desc limit 1"
            )
            assert available(reader) == account(writer).available == 7


def test_several_streams_and_tags_are_read_as_of_one_position(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    accepted(writer, grant(20, BOB, "g-2"))
    accepted(writer, debit("d-1", 3))
    streams, tags = [OF_ALICE, OF_BOB], [debit_tag("d-1"), debit_tag("d-2")]
    with Asking(database.writer_uri, SCRIP) as reader:
        for current in (reader.now(ORG, streams, tags), seen_by(writer, ORG, streams, tags)):
            assert current.position == 3
            assert [state.available for state in current.states.values()] == [7, 20]
            assert {tag: len(events) for tag, events in current.tagged.items()} == {"debit/d-1": 1, "debit/d-2": 0}


@pytest.mark.parametrize("when", ["tags", "look"], ids=["before the loading", "after it"])
def test_a_tag_that_is_loaded_while_an_event_gets_it_has_each_event_once(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The loading may find what the partition's cache has yet to follow."""
    accepted(writer, grant(10))
    with Asking(database.writer_uri, SCRIP) as reader:
        assert available(reader) == 10

        def meanwhile(name: str) -> None:
            if name == when and "tags" in sent and not debits:
                debits.append(accepted(writer, debit("d-0")))

        debits: list[object] = []
        sent = sent_by_readers(monkeypatch, meanwhile)
        tags = [grant_tag("g-1"), debit_tag("d-0"), debit_tag("d-1")]
        current = reader.now(ORG, [OF_ALICE], tags)
        assert (current.position, current.states[OF_ALICE].available) == (2, 9)
        assert [len(events) for events in current.tagged.values()] == [1, 1, 0]
        accepted(writer, debit("d-1"))
        again = reader.now(ORG, [OF_ALICE], tags)
        assert (again.position, again.states[OF_ALICE].available) == (3, 8)
        assert [len(events) for events in again.tagged.values()] == [1, 1, 1]
        assert sent.count("tags") == 1


def test_an_unknown_account_is_empty_and_its_reading_writes_nothing(writer: Writer, database: Database) -> None:
    state = account(writer, "user:nobody:credits")
    assert (state.exists, state.available) == (False, 0)
    with Asking(database.writer_uri, SCRIP) as reader:
        assert reader.now(ORG, []).position == 0
        assert available(reader) == 0
        assert stored(database.owner_uri) == []
        accepted(writer, grant(10))  # the first event of a partition that was known to have none
        assert (available(reader), reader.now(ORG, []).position) == (10, 1)


def test_an_idle_reader_follows_what_is_written(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    with Asking(database.writer_uri, SCRIP) as reader:
        assert available(reader) == 10
        accepted(writer, debit("d-1", 3))
        cache = reader.reader._loader.cache(partition_of(ORG, PARTITIONS))
        reader.until(lambda: cache.position == 2, "the idle reader has followed")
        assert cache.streams[ORG, OF_ALICE].state.available == 7


def test_an_unknown_event_type_stops_reading_its_account_and_no_other(
    writer: Writer, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be a newer version's: skipping it would show a wrong state."""
    accepted(writer, grant(10))
    accepted(writer, grant(10, BOB, "g-2"))
    writer.stop()  # or it says the same
    last = stored(database.owner_uri, partition_of(ORG, PARTITIONS))[-1]
    with Asking(database.writer_uri, SCRIP) as reader:
        assert available(reader) == available(reader, OF_BOB) == 10
        with statements.connect(database.writer_uri, "test") as connection:
            newer = last._replace(stream=OF_ALICE, position=3, version=2, type="credits-teleported.v9", tag=None)
            PostgresLog.append(connection.cursor(), [newer])
        cache = reader.reader._loader.cache(last.partition)
        reader.until(lambda: not cache.known, "the idle reader has met it")
        said = len(caplog.records)
        assert "the log cannot be followed" in caplog.text
        with caplog.at_level(logging.CRITICAL):
            found = reader.together(*(Query(ORG, (stream,)) for stream in (OF_ALICE, OF_BOB, OF_ALICE)))
            assert all(isinstance(found[at], LookupError) for at in (0, 2))
            assert found[1].states[OF_BOB].available == 10
            assert (found[1].position, len(caplog.records)) == (3, said)
