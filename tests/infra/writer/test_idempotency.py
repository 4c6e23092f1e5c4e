"""Every command is answered once and its answer kept: repeats, other content under a key, refusals."""

import pytest
from psycopg import connect

from domain.credits.address import stream_of
from domain.credits.commands import Capture, Grant
from domain.kernel.domain import LetTimePass
from domain.registry import SCRIP
from infra.writer.submission import Outcome
from infra.writer.writer import Writer
from tests.conftest import Database, move_clock
from tests.infra.writer.ledger_kit import (
    ALICE,
    ORG,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    locked,
    outcome,
    reserve,
    results,
    submission,
    together,
)


def test_a_repeat_gets_the_same_answer_and_changes_nothing(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    first = accepted(writer, debit("d-1", 4), "k-1", fingerprint=b"same")
    accepted(writer, debit("d-2", 1))
    again = outcome(writer, debit("d-other", 4), "k-1", fingerprint=b"same")
    assert again == first._replace(replayed=True)
    with Writer(database.writer_uri, SCRIP) as other:
        assert outcome(other, debit("d-1", 4), "k-1", fingerprint=b"same") == again
    assert account(writer).available == 5
    assert len(check_log(database.owner_uri)) == 3


def test_the_answer_of_several_events_is_replayed_whole_and_without_what_was_due(
    writer: Writer, database: Database
) -> None:
    accepted(writer, grant(10))
    accepted(writer, reserve("r-1", 4, ttl_s=5))
    accepted(writer, reserve("r-2", 4, ttl_s=500))
    move_clock(database, "10 seconds")
    first = accepted(writer, Capture(address=ALICE, reservation_id="r-2", debit_id="d-1", amount=3), "k-1")
    assert [type(event).__name__ for _, event in first.events] == ["ReservationCaptured"]
    assert outcome(writer, Capture(address=ALICE, reservation_id="r-2", debit_id="d-1", amount=3), "k-1") == (
        first._replace(replayed=True)
    )
    types = [event.type for event in check_log(database.owner_uri)]
    assert types[-2:] == ["reservation-expired.v1", "reservation-captured.v1"]


def test_an_answer_without_events_is_replayed_too(writer: Writer) -> None:
    first = accepted(writer, LetTimePass(stream=stream_of(ALICE)), "k-1")
    again = accepted(writer, LetTimePass(stream=stream_of(ALICE)), "k-1")
    assert first.events == again.events == ()
    assert (first.replayed, again.replayed) == (False, True)


def test_a_key_of_another_caller_or_organisation_is_another_key(writer: Writer) -> None:
    for org in (ORG, "other-org"):
        accepted(writer, grant(10), "k-1", org=org)
    item = submission(grant(10, grant_id="g-2"), "k-1")
    item.caller = "somebody else"
    (other,) = results(writer, item)
    assert isinstance(other, Outcome)
    assert not other.replayed
    assert account(writer).granted == 20


@pytest.mark.parametrize("at_once", [True, False], ids=["one batch", "two batches"])
def test_other_content_under_a_used_key_is_refused_and_not_done(writer: Writer, at_once: bool) -> None:
    items = [
        submission(grant(10), "k-1", fingerprint=b"one"),
        submission(grant(99), "k-1", fingerprint=b"other"),
        submission(grant(10), "k-1", fingerprint=b"one"),
    ]
    units = [[item] for item in items]
    found = together(writer, *units) if at_once else [results(writer, *unit) for unit in units]
    assert [code(item) for (item,) in found] == [None, "KeyReused", None]
    assert [item.replayed for (item,) in (found[0], found[2])] == [False, True]
    assert account(writer).granted == 10


def test_one_key_at_two_writers_at_once_takes_effect_once(writer: Writer, database: Database) -> None:
    accepted(writer, grant(1000))
    with Writer(database.writer_uri, SCRIP) as other:
        for turn in range(20):
            with locked(database.writer_uri):  # so that both have it in hand before either decides
                waiting = [one.submit([submission(debit(f"d-{turn}"), f"k-{turn}")]) for one in (writer, other)]
            answers = [future.result(30)[0] for future in waiting]
            assert sorted(answer.replayed for answer in answers if isinstance(answer, Outcome)) == [False, True]
    assert account(writer).available == 980
    assert len(check_log(database.owner_uri)) == 21


def test_a_refusal_is_kept_with_its_numbers_and_replayed_after_it_would_pass(writer: Writer) -> None:
    accepted(writer, grant(5))
    first = outcome(writer, debit("d-1", 9), "k-1")
    accepted(writer, grant(100, grant_id="g-2"))
    again = outcome(writer, debit("d-1", 9), "k-1")
    assert first.refusal is not None
    assert first.refusal == again.refusal
    assert again.refusal is not None
    assert again.refusal.facts == {"required": 9, "available": 5, "deficit": 4}
    assert again.replayed
    assert again.events == ()
    accepted(writer, debit("d-1", 9), "k-2")


def test_a_refusal_may_be_tried_again_under_its_key_where_it_is_not_to_be_kept(writer: Writer) -> None:
    accepted(writer, grant(5))
    assert code(outcome(writer, debit("d-1", 9), "k-1", keep_refusals=False)) == "insufficient_credits"
    accepted(writer, grant(100, grant_id="g-2"))
    assert not accepted(writer, debit("d-1", 9), "k-1", keep_refusals=False).replayed
    assert accepted(writer, debit("d-1", 9), "k-1", keep_refusals=False).replayed


def test_an_invalid_value_is_not_kept(writer: Writer, database: Database) -> None:
    accepted(writer, grant(5))
    accepted(writer, reserve("r-1", 2))
    too_much = Capture(address=ALICE, reservation_id="r-1", debit_id="d-1", amount=3)
    assert code(outcome(writer, too_much, "k-1")) == "exceeds_hold"
    fixed = Capture(address=ALICE, reservation_id="r-1", debit_id="d-1", amount=2)
    assert not accepted(writer, fixed, "k-1").replayed
    with connect(database.owner_uri) as connection:
        assert connection.execute("select count(*) from commands where key = 'k-1'").fetchone() == (1,)


def test_a_command_without_a_key_has_one_of_its_own(writer: Writer, database: Database) -> None:
    command = Grant(address=ALICE, grant_id="g-1", amount=1, source="purchase")
    accepted(writer, command)
    accepted(writer, command)
    with connect(database.owner_uri) as connection:
        keys = [row[0] for row in connection.execute("select key from commands")]
    assert len(set(keys)) == 2
    assert all(key.startswith("~") for key in keys)


def test_a_refusal_that_nobody_can_ask_for_again_is_not_kept(writer: Writer, database: Database) -> None:
    """Refusing costs its caller nothing, so it must not fill the disk; a key's refusal is an answer and stays."""

    def stored() -> int:
        with connect(database.owner_uri) as connection:
            row = connection.execute("select count(*) from commands where refusal is not null").fetchone()
            return int(row[0]) if row else 0

    for number in range(3):
        assert code(outcome(writer, debit(f"d-{number}", 9))) == "insufficient_credits"
    assert stored() == 0
    assert code(outcome(writer, debit("d-9", 9), "k-1")) == "insufficient_credits"
    assert code(outcome(writer, debit("d-9", 9), "~of-a-caller", fingerprint=b"same")) == "insufficient_credits"
    assert stored() == 2
    accepted(writer, grant(10))
    assert accepted(writer, debit("d-0", 9)).events
    again = outcome(writer, debit("d-9", 1), "~of-a-caller", fingerprint=b"same")
    assert (code(again), again.replayed) == ("insufficient_credits", True)
