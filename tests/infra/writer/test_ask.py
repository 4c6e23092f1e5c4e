"""A question is answered from what is current, by one look: without a lock, and without leaving a trace."""

import logging

import psycopg
import pytest

from domain.registry import SCRIP
from infra.log.mapper import UnknownEventType
from infra.partitions import PLATFORM, partition_of
from infra.writer.questions import Query, Question
from infra.writer.submission import Current
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database, move_clock
from tests.infra.writer.asking import NewAsking, loaded, sent_by_readers
from tests.infra.writer.ledger_kit import accepted, locked, results, stored, submission
from tests.infra.writer.pots import (
    LONG_AGO,
    OF_THE_PLATFORM,
    POTS,
    Fill,
    HowMuch,
    NewWriter,
    Pot,
    Put,
    Spend,
    TooLittle,
    pot,
)


def test_an_answer_includes_what_any_writer_has_just_committed(cold: NewWriter, asking: NewAsking, org: str) -> None:
    one, other, reader = cold(), cold(), asking()
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",)), org=org)
    for amount in range(1, 4):
        last = accepted((one, other)[amount % 2], Fill(pot="pot/b", amount=1), org=org)
        answered = reader.ask(org, HowMuch(pot="pot/a"))
        assert (answered.value, answered.position, answered.partition) == (9 + amount, last.position, last.partition)
        assert last.time is not None
        assert answered.time >= last.time
    last = accepted(one, Fill(pot="pot/a", linked=("pot/c", "pot/b")), org=org)
    accepted(one, Fill(pot="pot/c", amount=100), org=org)
    assert reader.ask(org, HowMuch(pot="pot/a")).value == 112


def test_a_question_waits_for_no_lock_and_writes_nothing(
    cold: NewWriter, asking: NewAsking, org: str, module_database: Database
) -> None:
    accepted(cold(), Fill(pot="pot/a", amount=9), org=org)
    warm = asking()
    assert warm.ask(org, HowMuch(pot="pot/a")).value == 9
    before = len(stored(module_database.owner_uri))
    with locked(module_database.writer_uri, org):
        assert warm.ask(org, HowMuch(pot="pot/a")).value == 9
        assert asking().ask(org, HowMuch(pot="pot/a")).value == 9
    assert len(stored(module_database.owner_uri)) == before


def test_what_a_question_applies_is_not_kept(cold: NewWriter, asking: NewAsking, org: str) -> None:
    """What is due on the pot and on those that it is linked to is seen by the question, and by nobody after it."""
    one = cold()
    accepted(one, Fill(pot="pot/b", amount=5), org=org)
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",), ends=LONG_AGO), org=org)
    reader = asking()
    cache = reader.reader._loader.cache(partition_of(org, PARTITIONS))
    for _ in range(2):  # cold, and warm
        with pytest.raises(TooLittle, match="pot/a"):
            reader.ask(org, HowMuch(pot="pot/a"))
        assert cache.streams[org, "pot/a"].state.amount == 9
        assert cache.streams[org, "pot/a"].version == 1
        assert not cache.tags
    assert accepted(one, Fill(pot="pot/a", amount=1), org=org).position == cache.position + 2  # with what was due
    assert pot(one, org, "pot/a") == Pot(amount=1, linked=("pot/b",))


def test_questions_and_reads_that_wait_share_their_loading(
    cold: NewWriter, asking: NewAsking, org: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.writer.reader.FOLLOW_EVERY_S", 1000.0)  # only what is asked for is sent
    one, count = cold(), 20
    for n in range(count):
        accepted(one, Fill(pot=f"pot/{n}", amount=n + 1, linked=(f"pot/l{n}", "pot/all")), org=org)
        accepted(one, Fill(pot=f"pot/l{n}", amount=n + 1), org=org)
    last = accepted(one, Fill(pot="pot/all", amount=1000), org=org)
    other = asking()
    sent, streams = sent_by_readers(monkeypatch), loaded(monkeypatch, other.reader)
    works = [Question(org, HowMuch(pot=f"pot/{n}")) for n in range(count)]
    found = other.together(Query(org, ("pot/all",)), *works)
    assert isinstance(found[0], Current)
    assert [answered.value for answered in found[1:]] == [1000 + 2 * (n + 1) for n in range(count)]
    assert [len(names) for names in streams] == [count + 2, count]  # the platform's, and the one that was read
    assert sent == ["heads", "streams", "look", "streams", "look"]
    assert {answered.position for answered in found} == {last.position}
    sent.clear()
    assert other.ask(org, HowMuch(pot="pot/7")).value == 1016
    assert sent == ["look"]  # what is warm takes one statement


@pytest.mark.parametrize("when", ["streams", "look"], ids=["before the loading", "after it"])
def test_what_is_loaded_for_an_answer_is_of_the_same_moment_as_the_rest(
    cold: NewWriter, asking: NewAsking, org: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Another writer moves an amount from a pot that is cached to one that is just being loaded."""
    org = f"acme-{when}"
    one, other = cold(), asking()
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",)), org=org)
    before = accepted(one, Fill(pot="pot/b", amount=5), org=org).position
    assert other.now(org, ["pot/a"]).states["pot/a"].amount == 9
    assert other.now(PLATFORM, [OF_THE_PLATFORM]).states[OF_THE_PLATFORM].amount == 0
    move = [submission(Fill(pot=name, amount=amount), org=org) for name, amount in (("pot/a", -4), ("pot/b", 4))]

    def meanwhile(name: str) -> None:
        # The first look finds that a pot is missing; the one after the loading makes up for what came meanwhile.
        if name == when and "streams" in sent and not moved:
            moved.extend(results(one, *move, atomic=True))

    moved: list[object] = []
    sent = sent_by_readers(monkeypatch, meanwhile)
    assert other.ask(org, HowMuch(pot="pot/a"))[::2] == (14, before + 2)
    assert sent[-3:] == ["look", "streams", "look"]
    assert other.ask(org, HowMuch(pot="pot/a"))[::2] == (14, before + 2)
    assert other.now(org, ["pot/b"]).states["pot/b"].amount == 9


def test_what_cannot_be_foreseen_of_many_is_found_all_the_same(
    cold: NewWriter, asking: NewAsking, org: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What ends together with what ends together and so on, further than anybody looks ahead, and for more than looks.

    Together they would take a look for each; alone, each has enough.
    """
    monkeypatch.setattr("infra.writer.reader.MAX_LOOKS", 8)
    one, count, links = cold(), 10, "abcdefg"
    for n in range(count):
        for name, link in zip(links, [*links[1:], None], strict=True):
            linked = (f"pot/{link}{n}",) if link else ()
            accepted(one, Fill(pot=f"pot/{name}{n}", amount=1, linked=linked, ends=LONG_AGO), org=org)
    found = asking().together(*(Question(org, HowMuch(pot=f"pot/a{n}")) for n in range(count)))
    assert found == [TooLittle(f"pot/a{n}") for n in range(count)]
    assert not caplog.records


def test_a_question_that_fails_disturbs_no_other(
    cold: NewWriter, asking: NewAsking, org: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accepted(cold(), Fill(pot="pot/a", amount=9), org=org)
    one = asking()
    assert one.ask(org, HowMuch(pot="pot/a")).value == 9
    streams = loaded(monkeypatch, one.reader)
    with caplog.at_level(logging.CRITICAL):
        found = one.together(
            Question(org, HowMuch(pot="pot/bug")),
            Question(org, HowMuch(pot="pot/a")),
            Question(org, HowMuch(pot="pot/empty")),
            Query(org, ("pot/a",)),
        )
        assert isinstance(found[0], ZeroDivisionError)
        assert found[1].value == 9
        assert found[2] == TooLittle("pot/empty")
        assert found[3].states["pot/a"].amount == 9
        assert streams == [{"pot/bug", "pot/empty"}]  # all that was cached still is
        found = one.together(Question(org, object()), Question(org, HowMuch(pot="pot/a")))
        assert isinstance(found[0], KeyError)
        assert found[1].value == 9
    assert one.reader.connected


@pytest.mark.parametrize(
    ("link", "error"),
    [("unknown/kind", KeyError), ("pot/newer", UnknownEventType), ("pot/nul\0", psycopg.DataError)],
)
def test_a_link_to_what_cannot_be_read_fails_only_who_asks_for_it(
    cold: NewWriter,
    asking: NewAsking,
    module_database: Database,
    caplog: pytest.LogCaptureFixture,
    link: str,
    error: type[Exception],
) -> None:
    """Also where that was foreseen for all, and so was first met by another."""
    one, org = cold(), f"acme-{error.__name__}"
    accepted(one, Fill(pot="pot/a", amount=9, linked=("pot/b",)), org=org)
    accepted(one, Fill(pot="pot/b", amount=5), org=org)
    accepted(one, Fill(pot="pot/c", amount=1, linked=(link,)), org=org)
    accepted(one, Fill(pot="pot/d", amount=1, linked=("pot/b",)), org=org)
    newer_pots = SCRIP.joined(POTS.modules[-1]._replace(events={"put.v9": Put}))
    with Writer(module_database.writer_uri, newer_pots) as newer:
        accepted(newer, Fill(pot="pot/newer"), org=org)
    reader = asking()
    with caplog.at_level(logging.CRITICAL), caplog.at_level(logging.CRITICAL, "psycopg"):
        for _ in range(2):
            found = reader.together(*(Question(org, HowMuch(pot=f"pot/{name}")) for name in "acd"))
            assert [found[0].value, found[2].value] == [14, 6]
            assert isinstance(found[1], error)
    assert reader.reader.connected


def test_the_platform_s_streams_are_seen_as_they_are_now(cold: NewWriter, asking: NewAsking, org: str) -> None:
    assert partition_of(org, PARTITIONS) != partition_of(PLATFORM, PARTITIONS)  # or this shows less
    one, other = cold(), asking()
    accepted(one, Fill(pot="pot/a", amount=9), org=org)
    assert other.ask(org, HowMuch(pot="pot/a")).value == 9
    accepted(one, Fill(pot=OF_THE_PLATFORM, amount=1000), org=PLATFORM)
    assert other.ask(org, HowMuch(pot="pot/a")).value == 1009
    assert other.ask(PLATFORM, HowMuch(pot=OF_THE_PLATFORM)).value == 2000
    accepted(one, Fill(pot=OF_THE_PLATFORM, amount=-1000), org=PLATFORM)


def test_an_answer_s_time_is_not_before_that_of_what_it_has_seen(
    cold: NewWriter, asking: NewAsking, org: str, module_database: Database
) -> None:
    last = accepted(cold(), Fill(pot="pot/a", amount=9), org=org).time
    warm = asking()
    assert warm.ask(org, HowMuch(pot="pot/a")).value == 9
    move_clock(module_database, "-1 hour")
    try:
        assert last is not None
        for reader in (warm, asking()):
            assert reader.ask(org, HowMuch(pot="pot/a")).time >= last
            assert reader.now(org, []).time >= last
    finally:
        move_clock(module_database, "1 hour")


def test_a_refusal_is_an_answer_and_no_fault(
    cold: NewWriter, asking: NewAsking, org: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, reader = cold(), asking()
    accepted(one, Fill(pot="pot/a", amount=9), org=org)
    caplog.clear()
    assert reader.ask(org, HowMuch(pot="pot/a")).value == 9
    with pytest.raises(TooLittle):
        reader.ask(org, HowMuch(pot="pot/none"))
    assert not caplog.records
    accepted(one, Spend(pot="pot/a", amount=9), org=org)
    with pytest.raises(TooLittle):
        reader.ask(org, HowMuch(pot="pot/a"))
