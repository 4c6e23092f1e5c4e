"""Current states are read without a lock, as of one moment."""

from domain.credits.address import debit_tag, stream_of
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.infra.writer.ledger_kit import ALICE, BOB, ORG, accepted, account, debit, grant, locked, submission


def test_reads_are_answered_while_another_session_holds_the_lock(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    with locked(database.writer_uri):
        assert account(writer).available == 10
        with Writer(database.writer_uri) as cold:
            assert account(cold).available == 10
        waiting = writer.submit([submission(debit("d-1"))])
        assert not waiting.done()
    assert waiting.result(30)
    assert account(writer).available == 9


def test_a_read_sees_what_others_have_committed_and_nothing_that_is_not(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    assert account(writer).available == 10
    with Writer(database.writer_uri) as other:
        accepted(other, debit("d-1", 3))
        assert account(writer).available == 7
        with locked(database.writer_uri) as session:
            session.execute(
                "insert into events select partition, position + 1, org, stream, version + 1, type, tag, actor, time,"
                " data, hash from events order by position desc limit 1"
            )
            assert account(writer).available == 7


def test_several_streams_and_tags_are_read_as_of_one_position(writer: Writer) -> None:
    accepted(writer, grant(10))
    accepted(writer, grant(20, BOB, "g-2"))
    accepted(writer, debit("d-1", 3))
    current = writer.query(ORG, [stream_of(ALICE), stream_of(BOB)], [debit_tag("d-1"), debit_tag("d-2")]).result(30)
    assert current.position == 3
    assert [state.available for state in current.states.values()] == [7, 20]
    assert {tag: len(events) for tag, events in current.tagged.items()} == {"debit/d-1": 1, "debit/d-2": 0}


def test_an_unknown_account_is_empty_and_its_reading_writes_nothing(writer: Writer) -> None:
    state = account(writer, "user:nobody:credits")
    assert (state.exists, state.available) == (False, 0)
    assert writer.query(ORG, []).result(30).position == 0
