"""An atomic group is applied whole or not at all, and a group that was taken back leaves nothing behind."""

from infra.writer.writer import Writer
from tests.conftest import Database
from tests.infra.writer.ledger_kit import (
    BOB,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    outcome,
    replayed,
    results,
    same_account,
    submission,
    together,
)


def test_all_parts_are_applied(writer: Writer, database: Database) -> None:
    found = results(
        writer, submission(grant(10)), submission(debit("d-1", 4)), submission(debit("d-2", 6)), atomic=True
    )
    assert [code(item) for item in found] == [None, None, None]
    assert [item.position for item in found] == [1, 2, 3]
    assert len(check_log(database.owner_uri)) == 3


def test_one_refused_part_takes_all_back_and_nothing_leaks(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    group = [submission(debit("d-1", 4), "k-1"), submission(debit("d-2", 9), "k-2"), submission(debit("d-3"), "k-3")]
    others = [submission(debit("d-0", 2))], [submission(debit("d-4", 2)), submission(grant(7, BOB, "g-bob"))]
    before, found, after = together(writer, others[0], group, others[1], atomic=[1])
    assert [code(item) for item in found] == ["NotApplied", "insufficient_credits", "NotApplied"]
    assert [code(item) for item in (*before, *after)] == [None, None, None]
    assert found[1].position == before[0].position  # a position that the log has, for whoever waits for it
    assert account(writer).available == 6
    assert same_account(account(writer), replayed(database.owner_uri))
    assert [event.tag for event in check_log(database.owner_uri)] == [
        "grant/g-1",
        "debit/d-0",
        "debit/d-4",
        "grant/g-bob",
    ]


def test_the_refusal_is_kept_and_the_other_parts_may_be_tried_alone(writer: Writer) -> None:
    accepted(writer, grant(10))
    group = [submission(debit("d-1", 4), "k-1"), submission(debit("d-2", 9), "k-2")]
    first = results(writer, *group, atomic=True)
    again = results(writer, *group, atomic=True)
    assert [code(item) for item in again] == [code(item) for item in first] == ["NotApplied", "insufficient_credits"]
    assert again[1] == first[1]._replace(replayed=True, time=None)
    assert accepted(writer, debit("d-1", 4), "k-1").replayed is False
    assert outcome(writer, debit("d-2", 9), "k-2").replayed


def test_a_whole_group_is_replayed(writer: Writer) -> None:
    group = [submission(grant(10), "k-1"), submission(debit("d-2", 9), "k-2")]
    first = results(writer, *group, atomic=True)
    assert results(writer, *group, atomic=True) == [item._replace(replayed=True) for item in first]
    assert account(writer).available == 1


def test_a_repeat_inside_a_group_that_is_taken_back_is_not_reported_as_applied(writer: Writer) -> None:
    accepted(writer, grant(10))
    group = [submission(debit("d-1"), "k-1"), submission(debit("d-1"), "k-1"), submission(debit("d-2", 99), "k-2")]
    found = results(writer, *group, atomic=True)
    assert [code(item) for item in found] == ["NotApplied", "NotApplied", "insufficient_credits"]
    assert account(writer).available == 10


def test_a_part_that_an_earlier_command_of_the_batch_has_done_is_replayed(writer: Writer) -> None:
    accepted(writer, grant(10))
    done = submission(debit("d-1"), "k-1")
    alone, group = together(writer, [done], [submission(debit("d-1"), "k-1"), submission(debit("d-2", 99))], atomic=[1])
    assert [code(item) for item in group] == [None, "insufficient_credits"]
    assert group[0] == alone[0]._replace(replayed=True)
    assert account(writer).available == 9


def test_a_reused_key_takes_the_group_back(writer: Writer) -> None:
    accepted(writer, grant(10), "k-1", fingerprint=b"one")
    group = [submission(debit("d-1"), "k-2"), submission(grant(5, grant_id="g-2"), "k-1", fingerprint=b"other")]
    assert [code(item) for item in results(writer, *group, atomic=True)] == ["NotApplied", "KeyReused"]
    assert account(writer).available == 10
