"""A question is answered from what is current, on the way of reads: without a lock, and without leaving a trace."""

import asyncio
import logging
from concurrent.futures import Future
from time import monotonic
from typing import Any

import psycopg
import pytest

from infra.codec import Codec, UnknownEventType
from infra.partitions import PLATFORM, partition_of
from infra.writer.ledger import Ledger
from infra.writer.loading import Loader
from infra.writer.reading import Query, Question
from infra.writer.submission import Answered, Current
from infra.writer.waiting import Waiting
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database, move_clock
from tests.infra.writer.ledger_kit import DEADLINE_S, accepted, locked, results, stored, submission
from tests.infra.writer.pots import (
    LONG_AGO,
    OF_THE_PLATFORM,
    Fill,
    HowMuch,
    NewWriter,
    Pot,
    Put,
    Spend,
    TooLittle,
    loads,
    pot,
)


def ask(writer: Writer, org: str, name: str) -> Answered:
    return writer.ask(org, HowMuch(pot=name)).result(DEADLINE_S)


def ask_together(writer: Writer, *works: Query | Question) -> list[Any]:
    """What works came to that reach an idle writer at once and so share a snapshot."""
    futures: list[Future[Any]] = [Future() for _ in works]
    deadline = monotonic() + DEADLINE_S
    writer.enqueue(
        [Waiting(work, future, None, deadline) for work, future in zip(works, futures, strict=True)],
    )
    return [future.exception(DEADLINE_S) or future.result() for future in futures]


def test_an_answer_includes_what_any_writer_has_just_committed(cold: NewWriter, org: str) -> None:
    one, other = cold(), cold()
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",)), org=org)
    for amount in range(1, 4):
        last = accepted(one, Fill(pot="pot/b", amount=1), org=org)
        answered = ask(other, org, "pot/a")
        assert (answered.value, answered.position, answered.partition) == (9 + amount, last.position, last.partition)
        assert last.time is not None
        assert answered.time >= last.time
    last = accepted(one, Fill(pot="pot/a", linked=("pot/c", "pot/b")), org=org)
    accepted(one, Fill(pot="pot/c", amount=100), org=org)
    assert ask(other, org, "pot/a").value == 112


def test_a_question_waits_for_no_lock_and_writes_nothing(cold: NewWriter, org: str, module_database: Database) -> None:
    one = cold()
    accepted(one, Fill(pot="pot/a", amount=9), org=org)
    before = len(stored(module_database.owner_uri))
    with locked(module_database.writer_uri, org):
        assert ask(one, org, "pot/a").value == 9
        assert ask(cold(), org, "pot/a").value == 9
    assert len(stored(module_database.owner_uri)) == before


def test_what_a_question_applies_is_not_kept(cold: NewWriter, org: str) -> None:
    """What is due on the pot and on those that it is linked to is seen by the question, and by nobody after it."""
    one = cold()
    accepted(one, Fill(pot="pot/b", amount=5), org=org)
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",), ends=LONG_AGO), org=org)
    other = cold()
    for writer in (one, other):
        cache = writer._loader.cache(partition_of(org, PARTITIONS))
        with pytest.raises(TooLittle, match="pot/a"):
            ask(writer, org, "pot/a")
        assert cache.streams[org, "pot/a"].state.amount == 9
        assert cache.streams[org, "pot/a"].version == 1
        assert not cache.tags
    assert accepted(other, Fill(pot="pot/a", amount=1), org=org).position == cache.position
    assert pot(one, org, "pot/a") == Pot(amount=1, linked=("pot/b",))


def test_questions_and_reads_that_wait_share_their_loading(
    cold: NewWriter, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, count = cold(), 20
    for n in range(count):
        accepted(one, Fill(pot=f"pot/{n}", amount=n + 1, linked=(f"pot/l{n}", "pot/all")), org=org)
        accepted(one, Fill(pot=f"pot/l{n}", amount=n + 1), org=org)
    last = accepted(one, Fill(pot="pot/all", amount=1000), org=org)
    other, asked = cold(), loads(monkeypatch)
    works = [Question(org, HowMuch(pot=f"pot/{n}")) for n in range(count)]
    found = ask_together(other, Query(org, ("pot/all",)), *works)
    assert isinstance(found[0], Current)
    assert [answered.value for answered in found[1:]] == [1000 + 2 * (n + 1) for n in range(count)]
    assert [len(streams) for streams in asked] == [count + 2, count]  # the platform's, and the one that was read
    assert {answered.position for answered in found} == {last.position}
    asked.clear()
    monkeypatch.delattr("infra.writer.reading.snapshot")  # what is warm takes one statement and no transaction
    assert ask(other, org, "pot/7").value == 1016
    assert asked == []


def test_what_is_loaded_for_an_answer_is_of_the_same_moment_as_the_rest(
    cold: NewWriter, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer moves an amount from a pot that is cached to one that is just being loaded."""
    one, other = cold(), cold()
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",)), org=org)
    before = accepted(one, Fill(pot="pot/b", amount=5), org=org).position
    assert pot(other, org, "pot/a").amount == 9
    assert pot(other, PLATFORM, OF_THE_PLATFORM).amount == 0
    move = [submission(Fill(pot=name, amount=amount), org=org) for name, amount in (("pot/a", -4), ("pot/b", 4))]
    load = Loader.ask_streams

    def late(self: Loader, snapshots: Any, events: Any, streams: Any) -> None:
        assert set(streams) == {(org, "pot/b")}
        results(one, *move, atomic=True)
        load(self, snapshots, events, streams)

    monkeypatch.setattr(Loader, "ask_streams", late)
    assert ask(other, org, "pot/a")[::2] == (14, before)
    assert ask(other, org, "pot/a")[::2] == (14, before + 2)
    assert pot(other, org, "pot/b").amount == 9


def test_a_question_that_fails_disturbs_no_other(
    cold: NewWriter, org: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = cold()
    accepted(one, Fill(pot="pot/a", amount=9), org=org)
    assert ask(one, org, "pot/a").value == 9
    asked = loads(monkeypatch)
    with caplog.at_level(logging.CRITICAL):
        found = ask_together(
            one,
            Question(org, HowMuch(pot="pot/bug")),
            Question(org, HowMuch(pot="pot/a")),
            Question(org, HowMuch(pot="pot/empty")),
            Query(org, ("pot/a",)),
        )
        assert isinstance(found[0], ZeroDivisionError)
        assert found[1].value == 9
        assert found[2] == TooLittle("pot/empty")
        assert found[3].states["pot/a"].amount == 9
        assert asked == [{"pot/bug", "pot/empty"}]  # all that was cached still is
        found = ask_together(one, Question(org, object()), Question(org, HowMuch(pot="pot/a")))
        assert isinstance(found[0], KeyError)
        assert found[1].value == 9
    assert one.counters.failures == 0


@pytest.mark.parametrize(
    ("link", "error"),
    [("unknown/kind", KeyError), ("pot/newer", UnknownEventType), ("pot/nul\0", psycopg.DataError)],
)
def test_a_link_to_what_cannot_be_read_fails_only_who_asks_for_it(
    cold: NewWriter, module_database: Database, caplog: pytest.LogCaptureFixture, link: str, error: type[Exception]
) -> None:
    """Also where that was foreseen for all, and so was first met by another."""
    one, org = cold(), f"acme-{error.__name__}"
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",)), org=org)
    accepted(one, Fill(pot="pot/b", amount=5), org=org)
    accepted(one, Fill(pot="pot/c", amount=1, linked=(link,)), org=org)
    accepted(one, Fill(pot="pot/d", amount=1, linked=("pot/b",)), org=org)
    with Writer(module_database.writer_uri, codec=Codec({"put.v9": Put})) as newer:
        accepted(newer, Fill(pot="pot/newer"), org=org)
    with caplog.at_level(logging.CRITICAL), caplog.at_level(logging.CRITICAL, "psycopg"):
        found = ask_together(cold(), *(Question(org, HowMuch(pot=f"pot/{name}")) for name in "acd"))
    assert [found[0].value, found[2].value] == [14, 6]
    assert isinstance(found[1], error)


def test_the_platform_s_streams_are_seen_as_they_are_now(cold: NewWriter, org: str) -> None:
    assert partition_of(org, PARTITIONS) != partition_of(PLATFORM, PARTITIONS)  # or this shows less
    one, other = cold(), cold()
    accepted(one, Fill(pot="pot/a", amount=9), org=org)
    assert ask(other, org, "pot/a").value == 9
    accepted(one, Fill(pot=OF_THE_PLATFORM, amount=1000), org=PLATFORM)
    assert ask(other, org, "pot/a").value == 1009
    assert ask(other, PLATFORM, OF_THE_PLATFORM).value == 2000
    accepted(one, Fill(pot=OF_THE_PLATFORM, amount=-1000), org=PLATFORM)


def test_an_answer_s_time_is_not_before_that_of_what_it_has_seen(
    cold: NewWriter, org: str, module_database: Database
) -> None:
    one = cold()
    last = accepted(one, Fill(pot="pot/a", amount=9), org=org).time
    move_clock(module_database, "-1 hour")
    try:
        assert last is not None
        assert ask(one, org, "pot/a").time >= last
    finally:
        move_clock(module_database, "1 hour")


def test_coroutines_ask_and_get_refusals(cold: NewWriter, org: str, caplog: pytest.LogCaptureFixture) -> None:
    one = cold()
    accepted(one, Fill(pot="pot/a", amount=9), org=org)
    caplog.clear()

    async def calls() -> None:
        ledger = Ledger(one)
        answered = await ledger.ask(org, HowMuch(pot="pot/a"))
        assert answered.value == 9
        with pytest.raises(TooLittle):
            await ledger.ask(org, HowMuch(pot="pot/none"))

    asyncio.run(calls())
    assert not caplog.records  # a refusal is no fault
    accepted(one, Spend(pot="pot/a", amount=9), org=org)
