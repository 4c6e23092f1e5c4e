"""A process that is stopped while it holds a lock in the database: the server takes it away after a while."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest

from api.http.database import OPTIONS
from consumers import rebuild
from consumers.intake.opening import POOL
from consumers.notifier.role import CONNECTION
from domain.registry import SCRIP
from infra.audit import runs, store
from infra.log import statements
from infra.log.postgres import PostgresLog
from infra.settings import Settings
from infra.writer.submission import Outcome
from infra.writer.writer import Writer
from projections import versions
from tests.conftest import Database
from tests.infra.writer.ledger_kit import accepted, grant, submission
from tests.waiting import ENOUGH_S, wait_until

ROOT = Path(__file__).parents[2]
LIMITS = ("transaction_timeout", "tcp_user_timeout")
# Stops itself with the lock of the partition in its hands, as a writer at work or with an answer that it never reads.
HOLDS = f"""
import os, signal, sys
from domain.registry import SCRIP
from infra.log import statements
from infra.log.postgres import PostgresLog
from infra.partitions import partition_of
from infra.writer.writer import Writer
from tests.infra.writer.ledger_kit import ORG, accepted, grant
for name in {LIMITS}:
    statements._CONNECTED["options"] += f" -c {{name}}=1s"
uri, partitions, how = sys.argv[1:]
def stop(*_):
    print("holds", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
if how == "works":
    PostgresLog.append = staticmethod(stop)
    with Writer(uri, SCRIP) as writer:
        accepted(writer, grant(1, grant_id="stopped"))
connection = statements.connect(uri, "stopped")
connection.execute("begin")
statements.lock(connection.cursor(), [partition_of(ORG, int(partitions))])
connection.pgconn.send_query(b"select repeat('x', 1000000) from generate_series(1, 100)")  # more than buffers take
stop()
"""


@contextmanager
def holder(database: Database, how: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock of ORG's partition in a transaction, and is stopped."""
    with psycopg.connect(database.owner_uri) as owner:
        ((partitions,),) = owner.execute("select partitions from log").fetchall()
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS, database.writer_uri, str(partitions), how],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "holds\n"
        yield child
    finally:
        child.kill()
        child.communicate(timeout=ENOUGH_S)


@pytest.mark.parametrize("how", ["works", "does not read"])
def test_a_second_writer_serves_again_when_the_first_is_stopped_with_the_lock(database: Database, how: str) -> None:
    with Writer(database.writer_uri, SCRIP) as writer:
        accepted(writer, grant(1))
        with holder(database, how) as first:
            assert first.poll() is None
            accepted(writer, grant(1, grant_id="g-2"))  # waits, at most 10 s at a time, and tries again
            assert first.poll() is None


def test_a_writer_that_stood_still_with_the_lock_does_it_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has ended its session and its transaction: nobody is told of an error, and nothing is done twice."""
    stands, goes_on, append = Event(), Event(), PostgresLog.append

    def slow(session: Any, events: Any) -> None:
        if not stands.is_set():
            stands.set()
            goes_on.wait(ENOUGH_S)
        append(session, events)

    options = statements._CONNECTED["options"]
    monkeypatch.setitem(statements._CONNECTED, "options", f"{options} -c transaction_timeout=500ms")
    with Writer(database.writer_uri, SCRIP) as first, Writer(database.writer_uri, SCRIP) as second:
        accepted(second, grant(1, grant_id="g-1"))
        monkeypatch.setattr(PostgresLog, "append", staticmethod(slow))
        waiting = first.submit([submission(grant(1, grant_id="g-2"))])
        assert stands.wait(ENOUGH_S)
        accepted(second, grant(1, grant_id="g-3"))
        goes_on.set()
        (outcome,) = waiting.result(ENOUGH_S)
        assert isinstance(outcome, Outcome)
        assert outcome.refusal is None
    with psycopg.connect(database.owner_uri) as owner:
        assert owner.execute("select count(*) from events where type = 'credits-granted.v1'").fetchone() == (3,)


IDLE = "idle_in_transaction_session_timeout"


def connected(uri: str, arguments: dict[str, Any]) -> "psycopg.Connection[Any]":
    return psycopg.connect(uri, **arguments)


CONNECTIONS: dict[str, tuple[Callable[[Database], "psycopg.Connection[Any]"], str]] = {
    "writer": (lambda database: statements.connect(database.writer_uri, "test"), "10s"),
    "api": (lambda database: connected(database.reader_uri, {"options": OPTIONS}), "10s"),
    "intake": (lambda database: connected(database.writer_uri, POOL["kwargs"]), "10s"),
    "notifier": (lambda database: connected(database.writer_uri, CONNECTION), "10s"),
    "projector": (lambda database: versions.connect(database.projector_uri, "test"), "30s"),
    "audit": (lambda database: store.connect(database.auditor_uri), "5min"),
}


@pytest.mark.parametrize("name", CONNECTIONS)
def test_no_connection_keeps_a_transaction_open_for_ever(database: Database, name: str) -> None:
    connect, limit = CONNECTIONS[name]
    with connect(database) as connection:
        assert connection.execute(f"show {IDLE}").fetchone() == (limit,)  # type: ignore[arg-type, unused-ignore]


def test_an_audit_that_stands_still_gives_way_and_one_that_works_does_not(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.model_validate({"writer_url": database.writer_uri})
    monkeypatch.setattr(runs, "HANGS", "500ms")
    monkeypatch.setattr(runs, "SAY_EVERY_S", 0.05)

    async def steps() -> None:
        async with runs._alone(settings):
            for _ in range(20):  # for twice as long as it may say nothing
                await asyncio.sleep(0.05)
                with pytest.raises(runs.AuditRunning):
                    async with runs._alone(settings):
                        pass
            # Now its event loop stands still, and so does what says that it works.
            wait_until(lambda: free(database), 20, "it gives way")

    asyncio.run(steps())


def free(database: Database) -> bool:
    """Whether nobody holds the audit's lock."""
    with psycopg.connect(database.owner_uri) as connection:
        row = connection.execute("select pg_try_advisory_xact_lock(%s)", (runs.ONE_AUDIT,)).fetchone()
    return row == (True,)


def test_a_projector_that_stands_still_leaves_a_rebuild_to_another(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "HANGS", "500ms")
    lock = (versions.LOCKS, rebuild.RUNNER)

    async def steps() -> None:
        still = await rebuild._connect(database.projector_uri)
        other = await rebuild._connect(database.projector_uri)

        async def takes(connection: "psycopg.AsyncConnection[Any]") -> bool:
            return await (await connection.execute(rebuild._LOCK, lock)).fetchone() == (True,)

        try:
            assert await takes(still)
            async with asyncio.timeout(ENOUGH_S):
                while not await takes(other):  # noqa: ASYNC110 - the server has no event for it
                    await asyncio.sleep(0.05)
        finally:
            await still.close()
            await other.close()

    asyncio.run(steps())
