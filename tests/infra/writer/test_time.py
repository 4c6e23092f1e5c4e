"""Time is the database's and never goes back within a partition; what is due is written by whoever decides next."""

from datetime import timedelta

from domain.credits.address import stream_of
from domain.credits.commands import Capture
from domain.kernel.domain import LetTimePass
from domain.registry import SCRIP
from infra.writer.writer import Writer
from tests.conftest import Database, move_clock
from tests.infra.writer.asking import now
from tests.infra.writer.ledger_kit import (
    ALICE,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    outcome,
    reserve,
    stored,
)


def test_time_stands_above_the_last_event_when_the_clock_jumps_back(writer: Writer, database: Database) -> None:
    before = accepted(writer, grant(10)).time
    accepted(writer, reserve("r-1", 4, ttl_s=600))
    move_clock(database, "-1 day")
    times = [accepted(writer, debit(f"d-{turn}")).time for turn in range(3)]
    with Writer(database.writer_uri, SCRIP) as other:
        times.append(accepted(other, debit("d-4")).time)
    assert before is not None
    assert all(time is not None for time in times)
    assert times == sorted(set(times))  # type: ignore[type-var]
    assert times[0] is not None
    assert timedelta(0) < times[0] - before < timedelta(minutes=1)
    assert account(writer).reserved == 4
    current = now(writer, "acme", [])
    assert times[-1] is not None
    assert current.time >= times[-1]
    check_log(database.owner_uri)


def test_a_hold_does_not_come_back_to_life_when_the_clock_jumps_back(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    accepted(writer, reserve("r-1", 4, ttl_s=600))
    move_clock(database, "11 minutes")
    accepted(writer, LetTimePass(stream=stream_of(ALICE)))
    move_clock(database, "-11 minutes")
    late = outcome(writer, Capture(address=ALICE, reservation_id="r-1", debit_id="d-1"))
    assert late.refusal is not None
    assert late.refusal.facts["outcome"] == "expired"
    assert account(writer).available == 10


def test_what_is_due_is_written_with_a_refusal_too(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    accepted(writer, reserve("r-1", 4, ttl_s=5))
    move_clock(database, "6 seconds")
    refused = outcome(writer, Capture(address=ALICE, reservation_id="r-1", debit_id="d-1"))
    assert code(refused) == "reservation_ended"
    assert refused.events == ()
    events = check_log(database.owner_uri)
    assert [event.type for event in events][2:] == ["reservation-expired.v1"]
    assert refused.position == events[-1].position
    assert code(outcome(writer, debit("d-2", 11))) == "insufficient_credits"
    assert len(stored(database.owner_uri)) == 3


def test_what_is_due_is_shown_before_it_is_written(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    accepted(writer, reserve("r-1", 4, ttl_s=5))
    move_clock(database, "6 seconds")
    assert account(writer).available == 10
    assert not account(writer).holds
    assert len(stored(database.owner_uri)) == 2  # nothing was written for that
    accepted(writer, LetTimePass(stream=stream_of(ALICE)))
    assert len(stored(database.owner_uri)) == 3
    accepted(writer, LetTimePass(stream=stream_of(ALICE)))
    assert len(stored(database.owner_uri)) == 3


def test_all_events_of_a_batch_have_one_time_and_a_later_batch_a_later_one(writer: Writer, database: Database) -> None:
    first = accepted(writer, grant(10)).time
    second = accepted(writer, debit("d-1")).time
    assert first is not None
    assert second is not None
    assert first < second
    assert [event.time for event in check_log(database.owner_uri)] == [first, second]
