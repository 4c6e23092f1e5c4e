"""A connection that breaks around the commit: one effect, and an answer that is right and no replay."""

import logging
import threading
from collections.abc import Iterator
from time import monotonic

import psycopg
import pytest

from domain.registry import SCRIP
from infra.log import statements
from infra.partitions import partition_of
from infra.writer import failpoints
from infra.writer.failpoints import PLACES, Fault
from infra.writer.submission import Outcome, OutcomeUnknown
from infra.writer.writer import Writer
from tests.conftest import PARTITIONS, Database
from tests.infra.writer.ledger_kit import (
    DEADLINE_S,
    ORG,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    locked,
    outcome,
    replayed,
    same_account,
    stored,
    submission,
    until,
    waiting_for_lock,
)
from tests.infra.writer.proxy import COMMITTED, Proxy
from tests.waiting import joined


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Lost connections are logged, as they should be; here that is only noise."""
    with caplog.at_level(logging.CRITICAL):
        yield


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    """A network to the database that can be told to fail."""
    with Proxy(database.writer_uri) as running:
        yield running


def test_a_commit_whose_reply_is_lost_has_one_effect_and_its_own_answer(proxy: Proxy, database: Database) -> None:
    with Writer(proxy.uri, SCRIP) as writer:
        accepted(writer, grant(100))
        proxy.lose_reply(COMMITTED)
        items = [submission(debit(f"d-{number}", 1 + number)) for number in range(5)]
        items.append(submission(debit("d-refused", 999)))
        found = writer.submit(items).result(DEADLINE_S)
        assert proxy.swallowed.is_set()
        assert writer.counters.failures == 1
        assert [code(item) for item in found] == [None] * 5 + ["insufficient_credits"]
        assert [item.replayed for item in found if isinstance(item, Outcome)] == [False] * 6
        assert [item.events[0][1].amount for item in found[:5] if isinstance(item, Outcome)] == [1, 2, 3, 4, 5]
        assert account(writer).available == 85
        assert same_account(account(writer), replayed(database.owner_uri))
        assert outcome(writer, debit("d-0"), items[0].key).replayed
    assert len(check_log(database.owner_uri)) == 6


@pytest.mark.parametrize("place", PLACES)
def test_a_connection_that_breaks_at_any_place(database: Database, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    with Writer(database.writer_uri, SCRIP) as writer:
        accepted(writer, grant(100))
        monkeypatch.setitem(failpoints.FAULTS, place, Fault("sever"))
        found = accepted(writer, debit("d-1", 4), "k-1")
        assert failpoints.FAULTS[place].left <= 0
        assert not found.replayed
        assert found.position == 2
        accepted(writer, debit("d-2", 6))
        assert account(writer).available == 90
        assert outcome(writer, debit("d-1", 4), "k-1") == found._replace(replayed=True)
    assert [event.tag for event in check_log(database.owner_uri)] == ["grant/g-1", "debit/d-1", "debit/d-2"]


@pytest.mark.parametrize("place", PLACES)
def test_a_fault_at_any_place_that_is_not_the_connections(
    database: Database, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Even after a commit that went through: the commands are run one by one, and their keys tell."""
    with Writer(database.writer_uri, SCRIP) as writer:
        accepted(writer, grant(100))
        with locked(database.writer_uri):
            first = writer.submit([submission(debit("d-0"))])
            until(lambda: waiting_for_lock(database.owner_uri), "the writer is busy")
            futures = [writer.submit([submission(debit(f"d-{number}"), f"k-{number}")]) for number in (1, 2, 3)]
            # Passed once by the first command, then by the batch of three.
            monkeypatch.setitem(failpoints.FAULTS, place, Fault("raise", 1 if place == "before-begin" else 2))
        assert code(first.result(DEADLINE_S)[0]) is None
        assert [code(future.result(DEADLINE_S)[0]) for future in futures] == [None] * 3
        assert failpoints.FAULTS[place].left <= 0
        assert account(writer).available == 96
    assert len(check_log(database.owner_uri)) == 5


def test_while_the_old_session_still_commits_the_new_one_waits_for_it(proxy: Proxy, database: Database) -> None:
    """The client believes the connection dead; the server's session still holds the lock, and commits later."""
    with Writer(database.writer_uri, SCRIP) as writer:
        accepted(writer, grant(100))
    partition = partition_of(ORG, PARTITIONS)
    with Writer(proxy.uri, SCRIP) as writer, psycopg.connect(database.owner_uri, autocommit=True) as owner:
        # Whoever inserts an idempotency row waits for this lock: the session stands still between insert and commit.
        owner.execute("select pg_advisory_lock(4711)")
        owner.execute(
            "create function slow() returns trigger language plpgsql as"
            " $$ begin perform pg_advisory_xact_lock(4711); return null; end $$"
        )
        owner.execute("create trigger slow after insert on commands for each statement execute function slow()")
        waiting = writer.submit([submission(debit("d-1", 4), "k-1")])
        until(lambda: waiting_for_lock(database.owner_uri), "the first session stands between insert and commit")
        proxy.cut()
        until(lambda: writer.counters.failures == 1, "the writer has noticed")
        until(lambda: waiting_for_lock(database.owner_uri) == 2, "the second session waits for the first's lock")
        assert not waiting.done()
        owner.execute("select pg_advisory_unlock(4711)")
        (found,) = waiting.result(DEADLINE_S)
        assert isinstance(found, Outcome)
        assert (found.refusal, found.replayed, found.position) == (None, False, 2)
        assert account(writer).available == 96
    assert len(stored(database.owner_uri, partition)) == len(check_log(database.owner_uri)) == 2


def test_a_caller_that_gave_up_gets_the_answer_from_another_writer(proxy: Proxy, database: Database) -> None:
    with Writer(proxy.uri, SCRIP) as writer:
        accepted(writer, grant(100))
        proxy.lose_reply(COMMITTED, then=proxy.refuse)
        unknown = writer.submit([submission(debit("d-1", 4), "k-1")], timeout_s=0.5)
        assert isinstance(unknown.exception(DEADLINE_S), OutcomeUnknown)
        with Writer(database.writer_uri, SCRIP) as other:
            again = accepted(other, debit("d-1", 4), "k-1")
            assert again.replayed
            assert again.position == 2
        proxy.refuse(False)
        assert account(writer).available == 96
    assert len(check_log(database.owner_uri)) == 2


def test_nothing_is_charged_twice_when_every_other_commit_loses_its_reply(proxy: Proxy, database: Database) -> None:
    with Writer(proxy.uri, SCRIP) as writer:
        accepted(writer, grant(1000))
        for turn in range(10):
            proxy.lose_reply(COMMITTED)
            found = writer.submit([submission(debit(f"d-{turn}-{n}", 1)) for n in range(10)]).result(DEADLINE_S)
            assert {code(item) for item in found} == {None}
        assert account(writer).available == 900
    assert len(check_log(database.owner_uri)) == 101


def test_a_session_that_the_server_ends(database: Database) -> None:
    """Wherever the batch is at that moment; it goes on until it was hit five times."""
    with Writer(database.writer_uri, SCRIP) as writer:
        accepted(writer, grant(100_000))
        stop = threading.Event()

        def terminate() -> None:
            with psycopg.connect(database.owner_uri, autocommit=True) as owner:
                while not stop.wait(0.02):
                    owner.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity where state <> 'idle'"
                        " and application_name = 'scrip-writer' and datname = current_database()"
                    )

        thread = threading.Thread(target=terminate)
        thread.start()
        done = 0
        end = monotonic() + DEADLINE_S
        while writer.counters.failures < 5:
            assert monotonic() < end
            assert not accepted(writer, debit(f"d-{done}")).replayed
            done += 1
        stop.set()
        joined(thread)
        assert account(writer).available == 100_000 - done
    assert len(check_log(database.owner_uri)) == done + 1


def test_a_writer_connects_again_while_nothing_is_asked_of_it(proxy: Proxy) -> None:
    with Writer(proxy.uri, SCRIP) as writer:
        accepted(writer, grant(100))
        before = writer._connection
        proxy.cut()
        until(lambda: writer.connected and writer._connection is not before, "a new connection")
        assert account(writer).available == 100


def test_the_lock_is_free_when_a_client_is_gone(proxy: Proxy, database: Database) -> None:
    gone = statements.connect(proxy.uri, "test")
    with Writer(database.writer_uri, SCRIP) as writer:
        gone.execute("begin")
        statements.lock(gone.cursor(), list(range(PARTITIONS)))
        waiting = writer.submit([submission(grant(10))])
        until(lambda: waiting_for_lock(database.owner_uri), "the writer waits")
        proxy.cut()
        assert code(waiting.result(DEADLINE_S)[0]) is None
    gone.close()
