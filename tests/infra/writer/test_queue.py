"""Whoever waits gets an answer: in time, or that it is unknown, or that there is too much to do."""

import asyncio
import logging
import threading
from concurrent.futures import Future
from math import inf
from typing import Any

import pytest

from domain.credits.address import stream_of
from domain.registry import SCRIP
from infra.ids import record_id
from infra.writer.batch import Result, Unit
from infra.writer.fair_queue import TURN, FairQueue
from infra.writer.ledger import Ledger
from infra.writer.reader import Reader
from infra.writer.submission import KeyReused, NotApplied, Outcome, OutcomeUnknown, Overloaded, Submission
from infra.writer.waiting import Waiting
from infra.writer.writer import MOSTLY_ONES_S, SHARED_S, Writer, _slice_s
from tests.conftest import Database
from tests.infra.writer.ledger_kit import (
    ALICE,
    DEADLINE_S,
    ORG,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    locked,
    submission,
    until,
    waiting_for_lock,
)
from tests.infra.writer.proxy import Proxy


def test_what_waits_is_committed_together(writer: Writer, database: Database) -> None:
    accepted(writer, grant(1000))
    with locked(database.writer_uri):
        first = writer.submit([submission(debit("d-first"))])
        until(lambda: waiting_for_lock(database.owner_uri), "the writer is busy")
        futures = [writer.submit([submission(debit(f"d-{number}"))]) for number in range(300)]
        assert writer.depth == 300
    assert code(first.result(DEADLINE_S)[0]) is None
    assert {code(future.result(DEADLINE_S)[0]) for future in futures} == {None}
    until(lambda: writer.counters.batches == 3, "the last batch is counted, after it was answered")
    assert writer.counters.largest_batch == 300
    assert len({event.time for event in check_log(database.owner_uri)}) == 3


def test_a_batch_has_a_bound(database: Database) -> None:
    with Writer(database.writer_uri, SCRIP, max_batch=50) as writer:
        accepted(writer, grant(1000))
        with locked(database.writer_uri):
            futures = [writer.submit([submission(debit(f"d-{number}"))]) for number in range(300)]
        assert {code(future.result(DEADLINE_S)[0]) for future in futures} == {None}
        until(lambda: writer.counters.commands == 301, "the last batch is counted, after it was answered")
        assert writer.counters.largest_batch == 50


def test_nobody_waits_for_the_whole_of_anothers_large_unit(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.writer.writer.SHARED_S", -1.0)
    monkeypatch.setattr("infra.writer.writer.MOSTLY_ONES_S", -1.0)
    accepted(writer, grant(1000))
    with locked(database.writer_uri):
        busy = writer.submit([submission(debit("d-busy"))])
        until(lambda: waiting_for_lock(database.owner_uri), "the writer is busy")
        many = writer.submit([submission(debit(f"d-{number}"), f"k-{number}") for number in range(300)])
        other = writer.submit([submission(grant(), org="other")])
    assert code(busy.result(DEADLINE_S)[0]) is None
    found = many.result(DEADLINE_S)
    assert [code(result) for result in found] == [None] * 300
    positions = [result.position for result in found if isinstance(result, Outcome)]
    assert positions == sorted(set(positions))
    others, last = other.result(DEADLINE_S)[0], found[-1]
    assert isinstance(others, Outcome)
    assert isinstance(last, Outcome)
    assert others.time is not None
    assert last.time is not None
    assert others.time < last.time
    until(lambda: writer.counters.commands == 303, "the last batch is counted, after it was answered")
    assert writer.counters.cut_batches
    assert len(check_log(database.owner_uri)) == 303


def test_what_is_done_of_a_unit_stays_where_the_rest_fails(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.writer.writer.BACKGROUND_S", -1.0)
    poison = debit("d-poison")
    decider = SCRIP.deciders[type(poison)]

    def decide(work: Any, command: Any) -> None:
        if command is poison:
            raise ZeroDivisionError("a bug")
        decider.decide(work, command)

    domain = SCRIP.with_decider(type(poison), decider._replace(decide=decide))
    with Writer(database.writer_uri, domain, background=True) as writer:
        accepted(writer, grant(1000))
        commands = [*(debit(f"d-{number}") for number in range(99)), poison]
        failed = writer.submit([submission(command, f"k-{number}") for number, command in enumerate(commands)])
        assert isinstance(failed.exception(DEADLINE_S), ZeroDivisionError)
        assert accepted(writer, debit("d-0"), "k-0").replayed
        assert account(writer).available == 1000 - 96
        assert len(check_log(database.owner_uri)) == 97


def test_late_answers_are_unknown_and_the_key_tells_later(writer: Writer, database: Database) -> None:
    accepted(writer, grant(100))
    with locked(database.writer_uri):
        busy = writer.submit([submission(debit("d-busy"))])
        until(lambda: waiting_for_lock(database.owner_uri), "the writer is busy")
        late = writer.submit([submission(debit("d-late"), "k-late")], timeout_s=0.05)
        threading.Event().wait(0.1)  # the deadline passes while it is in the queue
    assert code(busy.result(DEADLINE_S)[0]) is None
    assert isinstance(late.exception(DEADLINE_S), OutcomeUnknown)
    assert not accepted(writer, debit("d-late"), "k-late").replayed
    assert account(writer).available == 98


def test_a_coroutine_is_told_in_time_even_while_the_writer_is_stuck(writer: Writer, database: Database) -> None:
    accepted(writer, grant(100))

    async def call() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(OutcomeUnknown):
            await Ledger(writer, deadline_s=0.1).execute(submission(debit("d-1"), "k-1"))
        return loop.time() - started

    with locked(database.writer_uri):
        assert asyncio.run(call()) < 3
    until(lambda: account(writer).available == 99, "the command takes effect after all")
    assert accepted(writer, debit("d-1"), "k-1").replayed


def test_a_full_queue_turns_away_at_once_and_does_nothing(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.writer.writer.MAX_WAITING", 10)
    accepted(writer, grant(100))
    with locked(database.writer_uri):
        busy = writer.submit([submission(debit("d-busy"))])
        until(lambda: waiting_for_lock(database.owner_uri), "the writer is busy")
        waiting = [writer.submit([submission(debit(f"d-{number}"))]) for number in range(10)]
        with pytest.raises(Overloaded):
            writer.submit([submission(debit("d-more"))])
    for future in (busy, *waiting):
        assert code(future.result(DEADLINE_S)[0]) is None
    assert account(writer).available == 89
    accepted(writer, debit("d-more"))


def test_stop_finishes_the_batch_that_runs_and_answers_everybody(database: Database) -> None:
    writer = Writer(database.writer_uri, SCRIP)
    writer.start()
    accepted(writer, grant(100))
    with locked(database.writer_uri):
        running = writer.submit([submission(debit("d-1"))])
        until(lambda: waiting_for_lock(database.owner_uri), "the batch runs")
        waiting = [writer.submit([submission(debit(f"d-{number}"))]) for number in (2, 3)]
        stopper = threading.Thread(target=writer.stop)
        stopper.start()
        until(lambda: writer._stopping, "it is asked to stop")
        with pytest.raises(Overloaded):
            writer.submit([submission(debit("d-4"))])
    stopper.join(DEADLINE_S)
    assert code(running.result(0)[0]) is None
    assert [type(future.exception(0)) for future in waiting] == [OutcomeUnknown, OutcomeUnknown]
    assert not writer.connected
    assert len(check_log(database.owner_uri)) == 2


def test_stop_while_the_database_is_away(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    with Proxy(database.writer_uri) as proxy:
        writer = Writer(proxy.uri, SCRIP)
        writer.start()
        accepted(writer, grant(100))
        proxy.refuse()
        proxy.cut()
        waiting = writer.submit([submission(debit("d-1"))])
        until(lambda: writer.counters.failures or not writer.connected, "the writer has noticed")
        writer.stop()
        assert isinstance(waiting.exception(0), OutcomeUnknown)


def test_coroutines_get_outcomes_and_exceptions(writer: Writer, database: Database) -> None:
    async def calls() -> None:
        reader = Reader(database.writer_uri, SCRIP)
        ledger = Ledger(writer, reader=reader)
        await reader.start()
        first = await ledger.execute(submission(grant(10), "k-1", fingerprint=b"one"))
        assert first.refusal is None
        with pytest.raises(KeyReused):
            await ledger.execute(submission(grant(10), "k-1", fingerprint=b"other"))
        assert await ledger.execute_all([]) == []
        found = await ledger.execute_all([submission(debit("d-1")), submission(debit("d-2", 99))], atomic=True)
        assert isinstance(found[0], NotApplied)
        assert isinstance(found[1], Outcome)
        many = await asyncio.gather(*(ledger.execute(submission(debit(f"e-{n}"))) for n in range(12)))
        assert [item.refusal is None for item in many].count(True) == 10
        current = await ledger.current(ORG, [stream_of(ALICE)])
        assert current.states[stream_of(ALICE)].available == 0
        await reader.stop()

    asyncio.run(calls())


def test_a_ledger_without_a_reader_takes_commands_only(writer: Writer) -> None:
    async def calls() -> None:
        ledger = Ledger(writer)
        assert (await ledger.execute(submission(grant(10)))).refusal is None
        with pytest.raises(AssertionError, match="commands only"):
            await ledger.current(ORG, [stream_of(ALICE)])
        with pytest.raises(AssertionError, match="commands only"):
            await ledger.ask(ORG, object())

    asyncio.run(calls())


def test_answers_for_a_loop_that_is_closed_disturb_nobody(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))

    async def leave() -> None:
        task = asyncio.create_task(Ledger(writer).execute(submission(debit("d-1"))))
        await asyncio.sleep(0)
        until(lambda: waiting_for_lock(database.owner_uri), "the batch runs")
        task.cancel()

    with locked(database.writer_uri):
        asyncio.run(leave())
        other = writer.submit([submission(debit("d-2"))])
    assert code(other.result(DEADLINE_S)[0]) is None
    assert account(writer).available == 8


def test_who_had_most_of_a_batch_leaves_the_writer_to_others(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REST_OF_CALLER", "LONGEST_REST_S", "ALONE_S"):
        monkeypatch.setattr(f"infra.writer.writer.{name}", 1e9)

    def granted(count: int, org: str, caller: str = "worker:w1") -> list[Submission]:
        return [submission(grant(1, grant_id=f"g-{record_id()}"), org=org, caller=caller) for _ in range(count)]

    def well(submissions: list[Submission]) -> None:
        assert {code(each) for each in writer.submit(submissions).result(DEADLINE_S)} == {None}

    well(granted(20 * TURN, "acme"))
    well(granted(1, "acme"))  # it is alone
    well(granted(1, "other"))
    well(granted(TURN, "acme"))
    busy = ("acme", "worker:w1")
    until(lambda: busy in writer._queue._resting, "the batch is counted, after it was answered")
    later = writer.submit(granted(1, "acme"))
    for _ in range(5):
        well(granted(1, "other"))
        well(granted(1, "acme", "worker:w2"))
    assert not later.done()
    with writer._ready:
        writer._queue.wake(inf)
        writer._ready.notify()
    assert {code(each) for each in later.result(DEADLINE_S)} == {None}


def test_an_organisation_that_had_most_of_a_batch_by_many_logins_rests_with_those_alone(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REST_OF_CALLER", "LONGEST_REST_S", "ALONE_S", "SHARED_S"):
        monkeypatch.setattr(f"infra.writer.writer.{name}", 1e9)

    def handed_in(org: str, caller: str) -> "Future[list[Result]]":
        return writer.submit([submission(grant(1, grant_id=f"g-{record_id()}"), org=org, caller=caller)])

    assert code(handed_in("other", "worker:w1").result(DEADLINE_S)[0]) is None
    logins = [f"worker:w{number}" for number in range(TURN)]
    with locked(database.writer_uri):
        busy = handed_in("other", "worker:w1")
        until(lambda: waiting_for_lock(database.owner_uri), "the writer is busy")
        many = [handed_in("acme", login) for login in logins]
    assert {code(each.result(DEADLINE_S)[0]) for each in (busy, *many)} == {None}
    until(lambda: writer._queue._resting, "the batch is counted, after it was answered")
    assert set(writer._queue._resting) == {("acme", login) for login in logins}
    assert code(handed_in("acme", "worker:new").result(DEADLINE_S)[0]) is None


@pytest.mark.parametrize(
    ("sizes", "slice_s"),
    [
        ({"a": 100}, MOSTLY_ONES_S),
        ({"a": TURN, "b": TURN - 1}, MOSTLY_ONES_S),
        ({"a": TURN, "b": TURN}, SHARED_S),
        ({"a": TURN - 1}, MOSTLY_ONES_S),
        ({"a": TURN - 1, "b": 1}, SHARED_S),
    ],
)
def test_slices_are_shorter_where_one_caller_has_most_of_a_batch(sizes: dict[str, int], slice_s: float) -> None:
    queue: FairQueue[Waiting] = FairQueue()
    for login, size in sizes.items():
        work = Unit([submission(debit(f"d-{number}"), caller=login) for number in range(size)])
        queue.put([Waiting(work, Future(), None, inf)], 1_000)
    assert _slice_s(queue.take(1_000)) == slice_s
