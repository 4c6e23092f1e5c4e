"""Whoever asks gets an answer: as of a look that began after the question, or that it is unknown, or too much."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import psycopg
import pytest

from domain.credits.address import stream_of
from domain.registry import SCRIP
from infra.partitions import partition_of
from infra.writer.questions import Query
from infra.writer.reader import Reader
from infra.writer.submission import Current, OutcomeUnknown, Overloaded
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.infra.writer.asking import GIVE_UP_S, Asking, gathered, sent_by_readers, until
from tests.infra.writer.ledger_kit import ALICE, ORG, accepted, debit, grant
from tests.infra.writer.proxy import Proxy
from tests.waiting import ENOUGH_S, patient

STREAM = stream_of(ALICE)
QUERY = Query(ORG, (STREAM,))


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    """A network to the database that can be told to fail."""
    with Proxy(database.writer_uri) as running:
        yield running


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Lost connections are logged, as they should be; here that is only noise."""
    with caplog.at_level(logging.CRITICAL):
        yield


class Held:
    """Lets the reader's first look reach the database, and keeps what it has found back until `release`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.found, self.release = asyncio.Event(), asyncio.Event()
        look = Reader._look

        async def held(reader: Reader, *arguments: Any) -> Any:
            found = await look(reader, *arguments)
            if not self.found.is_set():
                self.found.set()
                await self.release.wait()
            return found

        patch.setattr(Reader, "_look", held)


def available(current: Any) -> int:
    assert isinstance(current, Current), current
    state = current.states[STREAM]
    return int(state.available)


Scene = Callable[[Reader], Coroutine[Any, Any, None]]


def run(database: Database, scene: Scene, deadline_s: float = GIVE_UP_S) -> None:
    """A scene with a reader that has started."""
    with Asking(database.writer_uri, SCRIP, deadline_s) as asking:
        asking.run(scene(asking.reader))


def test_a_question_that_comes_during_a_look_is_answered_by_a_later_one(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was told of his command sees it."""
    accepted(writer, grant(10))

    async def scene(reader: Reader) -> None:
        held = Held(monkeypatch)
        first = asyncio.create_task(reader.current(*QUERY))
        await asyncio.wait_for(held.found.wait(), ENOUGH_S)
        accepted(writer, debit("d-1", 4))
        second = asyncio.create_task(reader.current(*QUERY))
        await asyncio.sleep(0)  # it is asked now
        held.release.set()
        assert available(await first) == 10
        assert available(await second) == 6

    run(database, scene)


def test_many_questions_are_answered_in_parts(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.writer.reader.FOLLOW_EVERY_S", 1000.0)  # only what is asked for is sent
    monkeypatch.setattr("infra.writer.reader.STRETCH_S", 1000.0)
    accepted(writer, grant(10))
    with Asking(database.writer_uri, SCRIP) as asking:
        asking.now(*QUERY)
        sent = sent_by_readers(monkeypatch)
        assert {available(found) for found in asking.together(*[QUERY] * 120)} == {10}
        assert sent == ["look"] * 3
        assert asking.reader.answered == 121


def test_the_loop_is_not_held_up_by_many_questions(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.writer.reader.FOLLOW_EVERY_S", 1000.0)
    monkeypatch.setattr("infra.writer.reader.STRETCH_S", -1.0)
    accepted(writer, grant(10))
    with Asking(database.writer_uri, SCRIP) as asking:
        asking.now(*QUERY)
        sent = sent_by_readers(monkeypatch)
        assert {available(found) for found in asking.together(*[QUERY] * 5)} == {10}
        assert sent == ["look"] * 5


def test_more_questions_than_may_wait_are_turned_away_at_once(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.writer.reader.MAX_WAITING", 10)
    accepted(writer, grant(10))
    with Asking(database.writer_uri, SCRIP) as asking:
        found = asking.together(*[QUERY] * 15)
        assert [type(answer) for answer in found] == [Current] * 10 + [Overloaded] * 5
        assert available(asking.now(*QUERY)) == 10


def test_stop_answers_everybody(writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose look is under way too, and not only when their time is up."""
    accepted(writer, grant(10))

    async def scene(reader: Reader) -> None:
        held = Held(monkeypatch)
        running = asyncio.create_task(gathered(reader, [QUERY] * 2))
        await asyncio.wait_for(held.found.wait(), ENOUGH_S)
        waiting = asyncio.create_task(gathered(reader, [QUERY] * 2))
        await until(lambda: len(reader._waiting) == 2, "they are asked")
        await reader.stop()
        for asked in (running, waiting):
            assert [type(answer) for answer in await asyncio.wait_for(asked, patient(5))] == [OutcomeUnknown] * 2
        assert not reader.connected
        with pytest.raises(Overloaded):
            await reader.current(*QUERY)

    run(database, scene)


def test_whoever_gives_up_disturbs_nobody(writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted(writer, grant(10))

    async def scene(reader: Reader) -> None:
        held = Held(monkeypatch)
        leaving, staying = (asyncio.create_task(reader.current(*QUERY)) for _ in range(2))
        await asyncio.wait_for(held.found.wait(), ENOUGH_S)
        late = [asyncio.create_task(reader.current(*QUERY)) for _ in range(2)]
        await asyncio.sleep(0)  # they are asked now
        for task in (leaving, late[0]):
            task.cancel()
        held.release.set()
        assert available(await staying) == available(await late[1]) == 10
        assert leaving.cancelled()
        assert late[0].cancelled()

    run(database, scene)


def test_a_late_answer_is_unknown_and_the_next_is_right(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(writer, grant(10))

    async def scene(reader: Reader) -> None:
        held = Held(monkeypatch)
        with pytest.raises(OutcomeUnknown):
            await reader.current(*QUERY)
        held.release.set()
        accepted(writer, debit("d-1", 4))
        reader._deadline_s = GIVE_UP_S
        assert available(await reader.current(*QUERY)) == 6

    run(database, scene, deadline_s=0.1)


@pytest.mark.usefixtures("quiet")
def test_a_lost_connection_is_made_again_and_the_question_answered(writer: Writer, proxy: Proxy) -> None:
    accepted(writer, grant(10))
    with Asking(proxy.uri, SCRIP) as asking:
        assert available(asking.now(*QUERY)) == 10
        accepted(writer, debit("d-1", 4))
        proxy.cut()
        assert available(asking.now(*QUERY)) == 6


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("warm", [True, False])
def test_a_connection_that_breaks_under_a_question(writer: Writer, proxy: Proxy, warm: bool) -> None:
    accepted(writer, grant(10))
    with Asking(proxy.uri, SCRIP) as asking:
        if warm:
            assert available(asking.now(*QUERY)) == 10
        accepted(writer, debit("d-lost", 4))
        proxy.lose_reply(b"d-lost")  # what was written since, or all of the stream
        assert [available(found) for found in asking.together(QUERY, QUERY)] == [6, 6]
        assert proxy.swallowed.is_set()


@pytest.mark.usefixtures("quiet")
def test_a_session_that_the_server_ends(writer: Writer, database: Database) -> None:
    accepted(writer, grant(10))
    with Asking(database.writer_uri, SCRIP) as asking, psycopg.connect(database.owner_uri, autocommit=True) as owner:
        assert available(asking.now(*QUERY)) == 10
        ended = owner.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
            " where application_name = 'scrip-reader' and datname = current_database()"
        ).fetchall()
        assert ended == [(True,)]
        accepted(writer, debit("d-1", 4))
        assert available(asking.now(*QUERY)) == 6


@pytest.mark.usefixtures("quiet")
def test_while_the_database_is_away_answers_are_unknown_in_time(writer: Writer, proxy: Proxy) -> None:
    accepted(writer, grant(10))
    with Asking(proxy.uri, SCRIP, deadline_s=0.4) as asking:
        assert available(asking.now(*QUERY)) == 10
        proxy.refuse()
        proxy.cut()
        assert [type(found) for found in asking.together(QUERY, QUERY)] == [OutcomeUnknown] * 2
        assert not asking.reader.connected
        accepted(writer, debit("d-1", 4))
        proxy.refuse(False)
        asking.until(lambda: asking.reader.connected, "a new connection")
        assert available(asking.now(*QUERY)) == 6


@pytest.mark.usefixtures("quiet")
def test_stop_while_the_database_is_away(writer: Writer, proxy: Proxy) -> None:
    accepted(writer, grant(10))

    async def scene(reader: Reader) -> None:
        proxy.refuse()
        proxy.cut()
        waiting = asyncio.create_task(gathered(reader, [QUERY]))
        await until(lambda: not reader.connected, "it has noticed, and tries again")
        await reader.stop()
        assert [type(found) for found in await asyncio.wait_for(waiting, patient(5))] == [OutcomeUnknown]

    with Asking(proxy.uri, SCRIP) as asking:
        asking.run(scene(asking.reader))


@pytest.mark.usefixtures("quiet")
def test_an_idle_reader_connects_again_by_itself(writer: Writer, proxy: Proxy) -> None:
    accepted(writer, grant(10))
    """Also before anybody has asked it anything, while it follows nothing yet."""
    with Asking(proxy.uri, SCRIP) as asking:
        reader, before = asking.reader, asking.reader._connection
        proxy.cut()
        asking.until(lambda: reader.connected and reader._connection is not before, "a new connection")
        assert available(asking.now(*QUERY)) == 10


@pytest.mark.usefixtures("quiet")
def test_nothing_that_was_kept_is_trusted_after_a_lost_connection(writer: Writer, proxy: Proxy) -> None:
    """It may be another server by now, with another log."""
    accepted(writer, grant(10))
    with Asking(proxy.uri, SCRIP) as asking:
        assert available(asking.now(*QUERY)) == 10
        cache = asking.reader._loader.cache(partition_of(ORG, PARTITIONS))
        proxy.refuse()
        proxy.cut()
        asking.until(lambda: not cache.known, "it has noticed")
        assert not cache.streams
        assert not asking.reader.connected
        proxy.refuse(False)
        assert available(asking.now(*QUERY)) == 10


def test_a_reader_does_not_start_without_its_database() -> None:
    async def start() -> None:
        await Reader("postgresql://nobody@127.0.0.1:1/none", SCRIP).start()

    with pytest.raises(psycopg.OperationalError):
        asyncio.run(start())
