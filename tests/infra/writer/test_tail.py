"""Each process follows the log; whoever is too far behind drops its states and loads what it needs again."""

import logging

import pytest

from domain.credits.address import stream_of
from domain.registry import SCRIP
from infra.log import statements
from infra.log.postgres import PostgresLog
from infra.partitions import partition_of
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.infra.writer.asking import Asking, sent_by_readers
from tests.infra.writer.ledger_kit import (
    ALICE,
    BOB,
    DEADLINE_S,
    ORG,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    outcome,
    replayed,
    same_account,
    stored,
    submission,
    until,
)


def test_an_idle_writer_follows_what_another_writes(writer: Writer, database: Database) -> None:
    accepted(writer, grant(100))
    with Writer(database.writer_uri, SCRIP) as other:
        assert account(other).available == 100
        accepted(writer, debit("d-1", 40))
        cache = other._loader.cache(partition_of("acme", PARTITIONS))
        until(lambda: cache.position == 2, "the idle writer has followed")
        assert cache.streams["acme", "account/user:alice:credits"].state.available == 60
        assert code(outcome(other, debit("d-2", 61))) == "insufficient_credits"
        accepted(other, debit("d-3", 60))
    assert account(writer).available == 0
    check_log(database.owner_uri)


@pytest.mark.parametrize("behind", [1999, 2000, 2001, 2500])
def test_a_writer_that_is_far_behind_decides_right(
    database: Database, monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    monkeypatch.setattr("infra.writer.writer.FOLLOW_EVERY_S", 1000.0)  # nobody follows outside the lock
    with Writer(database.writer_uri, SCRIP) as one, Writer(database.writer_uri, SCRIP) as sleeper:
        accepted(one, grant(10_000))
        accepted(one, grant(10, BOB, "g-2"))
        assert account(sleeper).available == 10_000
        assert account(sleeper, BOB).available == 10
        for start in range(0, behind, 500):
            batch = [submission(debit(f"d-{n}")) for n in range(start, min(start + 500, behind))]
            assert {code(item) for item in one.submit(batch).result(DEADLINE_S)} == {None}
        left = 10_000 - behind
        assert code(outcome(sleeper, debit("d-too-much", left + 1))) == "insufficient_credits"
        accepted(sleeper, debit("d-all", left))
        accepted(sleeper, debit("d-bob", 10, BOB))  # was cached too, and dropped
        assert account(sleeper).available == account(sleeper, BOB).available == 0
        assert same_account(account(sleeper), replayed(database.owner_uri))
    check_log(database.owner_uri)


def test_at_most_2000_events_are_read_under_the_lock(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.writer.writer.FOLLOW_EVERY_S", 1000.0)
    with Writer(database.writer_uri, SCRIP) as one:
        accepted(one, grant(10_000))
        for start in range(0, 3000, 1000):
            one.submit([submission(debit(f"d-{n}")) for n in range(start, start + 1000)]).result(DEADLINE_S)
    partition = partition_of("acme", PARTITIONS)
    with statements.connect(database.writer_uri, "test") as connection:
        rows = connection.execute(statements.LOOK, ([partition], [0])).fetchall()
    assert len(rows) == statements.MAX_TAIL + 1  # one more, so that "too far behind" can be told from "just caught up"


def test_a_writer_that_is_far_behind_sees_right(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.writer.writer.FOLLOW_EVERY_S", 1000.0)
    with Writer(database.writer_uri, SCRIP) as one, Writer(database.writer_uri, SCRIP) as sleeper:
        accepted(one, grant(10_000))
        assert account(sleeper).available == 10_000
        for start in range(0, 3000, 1000):
            one.submit([submission(debit(f"d-{n}")) for n in range(start, start + 1000)]).result(DEADLINE_S)
        assert account(sleeper).available == 7_000


@pytest.mark.parametrize("behind", [1999, 2000, 2001, 2500])
def test_a_reader_that_is_far_behind_answers_right(
    database: Database, monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    """It forgets what it kept only where it has to: with the last event that it saw, 2000 are read at once."""
    monkeypatch.setattr("infra.writer.reader.FOLLOW_EVERY_S", 1000.0)  # it looks at the log only when it is asked
    streams = [stream_of(ALICE), stream_of(BOB)]
    with Writer(database.writer_uri, SCRIP) as one, Asking(database.writer_uri, SCRIP) as sleeper:
        accepted(one, grant(10_000))
        accepted(one, grant(10, BOB, "g-2"))
        assert [state.available for state in sleeper.now(ORG, streams).states.values()] == [10_000, 10]
        for start in range(0, behind, 500):
            batch = [submission(debit(f"d-{n}")) for n in range(start, min(start + 500, behind))]
            assert {code(item) for item in one.submit(batch).result(DEADLINE_S)} == {None}
        sent = sent_by_readers(monkeypatch)
        found = sleeper.now(ORG, streams[:1], ["debit/d-7"])
        assert found.states[streams[0]].available == 10_000 - behind
        assert len(found.tagged["debit/d-7"]) == 1
        assert found.position == behind + 2
        assert ("heads" in sent) == (behind > 1999)
        assert sleeper.now(ORG, streams).states[streams[1]].available == 10


def test_an_unknown_event_type_stops_its_account_and_no_other(
    writer: Writer, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be a newer version's: skipping it would decide from a wrong state."""
    accepted(writer, grant(10))
    accepted(writer, grant(10, BOB, "g-2"))
    last = stored(database.owner_uri, partition_of("acme", PARTITIONS))[-1]
    with statements.connect(database.writer_uri, "test") as connection:
        newer = last._replace(
            stream="account/user:alice:credits", position=3, version=2, type="credits-teleported.v9", tag=None
        )
        PostgresLog.append(connection.cursor(), [newer])
    until(lambda: "the writer failed" in caplog.text, "the idle writer has met it")
    said = len(caplog.records)
    cache = writer._loader.cache(last.partition)
    until(lambda: not cache.known, "it has stopped following")
    assert len(caplog.records) == said  # and does not say so ten times a second
    with caplog.at_level(logging.CRITICAL):  # the faults are logged with their traces, which is as it should be
        with pytest.raises(LookupError, match=r"credits-teleported\.v9"):
            outcome(writer, debit("d-1"))
        accepted(writer, debit("d-2", 1, BOB))
    assert len(stored(database.owner_uri)) == 4
