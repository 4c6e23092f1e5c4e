"""PostgreSQL's disk is full: an answer at once, nothing done, and the next command when there is room again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from domain.credits.address import stream_of
from domain.registry import SCRIP
from infra.disk import DiskWatch
from infra.writer import failpoints
from infra.writer.failpoints import Fault
from infra.writer.submission import Outcome, OutcomeUnknown, StorageFull
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.infra.writer.asking import Asking
from tests.infra.writer.ledger_kit import ALICE, DEADLINE_S, ORG, accepted, check_log, debit, grant, submission, until
from tests.infra.writer.proxy import Proxy

MORE_THAN_ANY = 2**62
HANGING_S = 60.0  # the deadline of a command that nobody answers


@contextmanager
def full(database: Database) -> Iterator[None]:
    """PostgreSQL says that it has no room for another row, as it does when a table cannot grow."""
    with psycopg.connect(database.owner_uri, autocommit=True) as owner:
        owner.execute(
            "create function no_room() returns trigger language plpgsql as"
            " $$begin raise exception 'could not extend file' using errcode = 'disk_full'; end$$"
        )
        owner.execute("create trigger no_room before insert on events execute function no_room()")
        try:
            yield
        finally:
            owner.execute("drop trigger no_room on events")
            owner.execute("drop function no_room")


def test_a_full_disk_is_told_at_once_and_the_connection_is_kept(database: Database, writer: Writer) -> None:
    accepted(writer, grant(100))
    item = submission(debit("d-1", 7))
    with full(database):
        began = monotonic()
        with pytest.raises(StorageFull):
            writer.submit([item], timeout_s=HANGING_S).result(HANGING_S)
        assert monotonic() - began < HANGING_S / 2
        assert (writer.connected, writer.counters.failures) == (True, 0)
    (again,) = writer.submit([item]).result(DEADLINE_S)
    assert isinstance(again, Outcome)
    assert (again.refusal, again.replayed) == (None, False)
    assert len(check_log(database.owner_uri)) == 2


def test_a_commit_that_may_have_gone_through_before_is_not_said_to_be_undone(
    database: Database, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(writer, grant(100))
    monkeypatch.setitem(failpoints.FAULTS, failpoints.BEFORE_BEGIN, Fault("sever"))
    with full(database), pytest.raises(OutcomeUnknown):
        writer.submit([submission(debit("d-1", 7))], timeout_s=HANGING_S).result(HANGING_S)


def test_below_the_reserve_commands_are_refused_and_questions_answered(database: Database, tmp_path: Path) -> None:
    disk = DiskWatch({"postgres": str(tmp_path / "later")}, MORE_THAN_ANY)
    with (
        Writer(database.writer_uri, SCRIP, disk=disk) as writer,
        Asking(database.writer_uri, SCRIP, disk=disk) as asking,
    ):
        accepted(writer, grant(100))
        (tmp_path / "later").mkdir()
        assert disk.look()
        with pytest.raises(StorageFull):
            writer.submit([submission(debit("d-1", 7))])
        stream = stream_of(ALICE)
        assert asking.now(ORG, [stream]).states[stream].available == 100
        (tmp_path / "later").rmdir()
        until(lambda: not disk.full, "there is room")
        accepted(writer, debit("d-1", 7))


def test_nobody_waits_for_a_database_that_is_away_with_a_full_disk(database: Database, tmp_path: Path) -> None:
    disk = DiskWatch({"postgres": str(tmp_path / "later")}, MORE_THAN_ANY)
    with (
        Proxy(database.writer_uri) as proxy,
        Writer(proxy.uri, SCRIP, disk=disk) as writer,
        Asking(proxy.uri, SCRIP, deadline_s=HANGING_S, disk=disk) as asking,
    ):
        accepted(writer, grant(100))
        proxy.refuse()
        proxy.cut()
        waiting = writer.submit([submission(debit("d-1", 7))], timeout_s=HANGING_S)
        (tmp_path / "later").mkdir()
        with pytest.raises(OutcomeUnknown):
            waiting.result(HANGING_S / 2)
        with pytest.raises(StorageFull):
            asking.now(ORG, [stream_of(ALICE)])
