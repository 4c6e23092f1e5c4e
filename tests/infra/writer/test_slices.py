"""Much that falls due at once on one stream holds up nobody else for longer than one slice of it takes."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from domain.credits.address import stream_of
from domain.kernel.domain import LetTimePass
from domain.kernel.work import SLICE, StreamKind
from domain.plans.deduct import TokensNow
from domain.registry import SCRIP
from infra.writer.ahead import STEP, Ahead
from infra.writer.reader import Reader
from infra.writer.submission import Outcome, OutcomeUnknown
from infra.writer.writer import Writer
from tests.conftest import Database, move_clock
from tests.infra.writer.asking import Asking
from tests.infra.writer.ledger_kit import (
    ALICE,
    BOB,
    DEADLINE_S,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    locked,
    replayed,
    reserve,
    results,
    same_account,
    submission,
    until,
    waiting_for_lock,
)

MANY = 3_000
FORECAST = "org:acme:tokens.forecast"


def crowded(writer: Writer, database: Database, address: str = ALICE, count: int = MANY) -> None:
    """An account of which so many holds have ended, and another one beside it."""
    accepted(writer, grant(10 * count, address, f"g-{address}"))
    if address != BOB:
        accepted(writer, grant(1_000, BOB, "g-bob"))
    asked = [submission(reserve(f"r-{address}-{number}", address=address, ttl_s=60)) for number in range(count)]
    assert {code(found) for found in results(writer, *asked)} == {None}
    move_clock(database, "61 seconds")


def transactions(database: Database) -> list[Counter[str]]:
    """The types of the events of each transaction, in order: each has a time of its own."""
    found: dict[Any, Counter[str]] = {}
    for event in check_log(database.owner_uri):
        found.setdefault((event.partition, event.time), Counter())[event.type] += 1
    return list(found.values())


def test_others_go_on_between_the_slices_and_the_command_is_decided_at_the_end(
    writer: Writer, database: Database
) -> None:
    crowded(writer, database)
    with locked(database.writer_uri):
        busy = writer.submit([submission(debit("d-busy", address=BOB))])
        until(lambda: waiting_for_lock(database.owner_uri), "the writer is busy")
        waiting = [writer.submit([submission(debit(f"d-{number}"), f"k-{number}")]) for number in range(20)]
        other = writer.submit([submission(debit("d-other", address=BOB))])
    assert code(busy.result(DEADLINE_S)[0]) is None
    assert code(other.result(DEADLINE_S)[0]) is None
    assert not any(future.done() for future in waiting), "the other's was decided beside the first slice"
    assert {code(future.result(DEADLINE_S)[0]) for future in waiting} == {None}
    expired = [found["reservation-expired.v1"] for found in transactions(database)]
    assert sum(expired) == MANY
    assert max(expired) == SLICE
    assert sum(map(bool, expired)) == MANY // SLICE
    assert same_account(account(writer), replayed(database.owner_uri))
    assert account(writer).available == 10 * MANY - 20
    assert accepted(writer, debit("d-0"), "k-0").replayed


def test_a_slice_is_a_turn(writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.writer.writer.REST", 0.0)
    monkeypatch.setattr("infra.writer.writer.PATIENCE_S", 0.0)
    crowded(writer, database, count=900)
    with Writer(database.writer_uri, SCRIP, max_batch=1) as slow:
        with locked(database.writer_uri):
            busy = slow.submit([submission(debit("d-busy", address=BOB))])
            until(lambda: waiting_for_lock(database.owner_uri), "the writer is busy")
            waiting = slow.submit([submission(debit("d-alice"))])
            others = [submission(debit(f"d-{number}", address=BOB)) for number in range(3)]
            for other in others:
                other.caller = "other"
            futures = [slow.submit([other]) for other in others]
        assert {code(future.result(DEADLINE_S)[0]) for future in [busy, waiting, *futures]} == {None}
        counted = [(each["reservation-expired.v1"], each["credits-debited.v1"]) for each in transactions(database)]
        alternating = [each for each in counted if any(each)][1:]  # without the one that kept the writer busy
        assert sorted(alternating[:2]) == sorted(alternating[2:4]) == sorted(alternating[4:6]) == [(0, 1), (SLICE, 0)]
        assert alternating[6:] == [(SLICE, 0), (100, 1)]
        assert not slow.counters.cut_batches


def test_one_slice_is_under_way_whoever_waits_and_then_others_have_their_time(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowded(writer, database)
    monkeypatch.setattr("infra.writer.writer.REST", 1e6)
    first = writer.submit([submission(debit("d-1"), "k-1")], timeout_s=2.0)
    until(lambda: sum(found["reservation-expired.v1"] for found in transactions(database)), "a slice is written")
    later = [writer.submit([submission(debit(f"d-{number}"))], timeout_s=2.0) for number in range(2, 9)]
    for number in range(9):
        assert code(results(writer, submission(debit(f"b-{number}", address=BOB)))[0]) is None
    assert {type(future.exception(DEADLINE_S)) for future in (first, *later)} == {OutcomeUnknown}
    assert sum(found["reservation-expired.v1"] for found in transactions(database)) == SLICE
    monkeypatch.setattr("infra.writer.writer.REST", 0.0)
    assert code(results(writer, submission(debit("d-1"), "k-1"))[0]) is None  # nobody waits behind those who left
    assert account(writer).available == 10 * MANY - 1


def test_what_was_decided_before_it_in_a_unit_is_answered_once(writer: Writer, database: Database) -> None:
    crowded(writer, database, count=900)
    unit = [
        submission(debit("d-1", address=BOB), "k-1"),
        submission(debit("d-2"), "k-2"),
        submission(debit("d-3", 10**9, BOB), "k-3"),
        submission(LetTimePass(stream=stream_of(ALICE)), "k-4"),
    ]
    found: Sequence[Any] = results(writer, *unit)
    assert [code(each) for each in found] == [None, None, "insufficient_credits", None]
    assert not any(each.replayed for each in found)
    assert [len(each.events) for each in found] == [1, 1, 0, 0]
    assert account(writer, BOB).available == 999
    again: Sequence[Any] = results(writer, *unit)
    assert [each.replayed for each in again] == [True] * 4


def test_an_atomic_group_waits_as_a_whole(writer: Writer, database: Database) -> None:
    crowded(writer, database, count=900)
    group = [submission(debit(f"d-{who}", address=who), f"k-{who}") for who in (BOB, ALICE)]
    found: Sequence[Any] = results(writer, *group, atomic=True)
    assert [code(each) for each in found] == [None, None]
    assert not any(each.replayed for each in found)
    assert [each["credits-debited.v1"] for each in transactions(database)][-2:] == [0, 2]
    assert sum(each["reservation-expired.v1"] for each in transactions(database)) == 900
    assert max(each["reservation-expired.v1"] for each in transactions(database)) == SLICE


def test_a_refused_group_leaves_no_more_than_what_was_due(writer: Writer, database: Database) -> None:
    crowded(writer, database, count=900)
    group = [submission(debit("d-0", 10**9, BOB)), submission(debit("d-1", address=BOB)), submission(debit("d-2"))]
    assert [code(each) for each in results(writer, *group, atomic=True)] == [
        "insufficient_credits", "NotApplied", "NotApplied",
    ]  # fmt: skip
    assert "credits-debited.v1" not in {event.type for event in check_log(database.owner_uri)}


def test_a_deadline_that_passes_between_slices_loses_nothing(writer: Writer, database: Database) -> None:
    crowded(writer, database)
    with locked(database.writer_uri):
        late = writer.submit([submission(debit("d-1"), "k-1")], timeout_s=0.5)
        until(lambda: waiting_for_lock(database.owner_uri), "the writer is busy")
        until(lambda: late.running() or True, "it waits")
    assert isinstance(late.exception(DEADLINE_S), OutcomeUnknown) or code(late.result()[0]) is None
    assert code(results(writer, submission(debit("d-1"), "k-1"))[0]) is None
    assert account(writer).available == 10 * MANY - 1


def test_a_question_is_answered_before_it_is_written_and_writes_nothing(writer: Writer, database: Database) -> None:
    crowded(writer, database, FORECAST)
    question = TokensNow(token_type="forecast", user="alice")
    with Asking(database.writer_uri, SCRIP) as asking:
        assert asking.ask("acme", question).value.balance == 10 * MANY
        assert asking.now("acme", [stream_of(FORECAST)]).states[stream_of(FORECAST)].reserved == 0
    assert not sum(found["reservation-expired.v1"] for found in transactions(database))


def test_what_was_folded_ahead_lasts_while_it_is_written(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowded(writer, database, count=900)
    folds = list[int]()
    fold = Ahead.fold

    def counted(ahead: Ahead, kind: StreamKind, now: datetime) -> bool:
        before = len(ahead.unwritten)
        more = fold(ahead, kind, now)
        folds.append(len(ahead.unwritten) - before)
        return more

    monkeypatch.setattr(Ahead, "fold", counted)
    stream = stream_of(ALICE)
    with Asking(database.writer_uri, SCRIP) as asking:
        for slices in range(4):
            found = asking.now("acme", [stream]).states[stream]
            assert (found.holds.get("r"), len(found.holds), found.available) == (None, 0, 9_000), slices
            assert (sum(folds), max(folds)) == (900, STEP), "it is folded once, a little at a time"
            results(writer, submission(LetTimePass(stream=stream, whole=False)))
        assert code(results(writer, submission(debit("d-1")))[0]) is None  # after the rest was written
        assert asking.now("acme", [stream]).states[stream].available == 8_999
        assert not any(cache.ahead for cache in asking.reader._loader.caches.values())
    assert sum(folds) == 900


def test_it_is_folded_again_where_the_log_takes_another_way(writer: Writer, database: Database) -> None:
    crowded(writer, database, count=900)
    stream = stream_of(ALICE)
    with Asking(database.writer_uri, SCRIP) as asking:
        assert asking.now("acme", [stream]).states[stream].available == 9_000
        (cache,) = [each for each in asking.reader._loader.caches.values() if each.ahead]
        cache.ahead["acme", stream].unwritten.pop()
        results(writer, submission(LetTimePass(stream=stream)))
        assert asking.now("acme", [stream]).states[stream].available == 9_000
        assert not cache.ahead


def test_what_is_folded_ahead_has_a_bound(writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.writer.reader.AHEAD_KEPT", 900)
    accounts = [f"user:u{number}:credits" for number in range(3)]
    for address in accounts:
        accepted(writer, grant(1_000, address, f"g-{address}"))
        asked = [submission(reserve(f"r-{address}-{number}", address=address, ttl_s=60)) for number in range(400)]
        assert {code(found) for found in results(writer, *asked)} == {None}
    move_clock(database, "61 seconds")
    with Asking(database.writer_uri, SCRIP) as asking:
        for address in accounts:
            assert asking.now("acme", [stream_of(address)]).states[stream_of(address)].available == 1_000
        (cache,) = [each for each in asking.reader._loader.caches.values() if each.ahead]
        assert [key for _, key in cache.ahead] == [stream_of(address) for address in accounts[1:]]


def test_states_wait_too(writer: Writer, database: Database) -> None:
    crowded(writer, database, count=500)
    with Asking(database.writer_uri, SCRIP) as asking:
        assert not asking.now("acme", [stream_of(ALICE)]).states[stream_of(ALICE)].holds
        assert isinstance(asking.reader, Reader)
    assert isinstance(results(writer, submission(debit("d-1")))[0], Outcome)
