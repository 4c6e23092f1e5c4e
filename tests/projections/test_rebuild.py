"""A new generation beside the live one: identical rows, swapped whole, under load, and safe to kill."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from consumers.rebuild import rebuild_from
from domain.credits.commands import Debit, Grant
from domain.registry import SCRIP
from infra.embedded import EmbeddedServers
from infra.log.mapper import LedgerMapper
from projections import rebuild, versions
from projections.facts import CannotApply
from projections.runner import Runner
from tests.conftest import Database, copy_of
from tests.projections.busy_shop import busy_shop
from tests.projections.folding import apply, tables
from tests.projections.log_builder import LogBuilder, busy, write
from tests.waiting import ENOUGH_S, joined, patient

DEADLINE_S = patient(30.0)
LOG = busy(busy_shop(LogBuilder(), 600), 1000, seed=3).events


def run(database: Database, progress: rebuild.Progress | None = None) -> rebuild.RebuildReport:
    return rebuild_from(database.projector_uri, progress)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        threading.Event().wait(0.01)


def schemas(database: Database) -> list[str]:
    with psycopg.connect(database.owner_uri) as connection:
        rows = connection.execute("select nspname from pg_namespace where nspname like 'read\\_g%' order by 1")
        return [name for (name,) in rows]


@pytest.fixture(scope="module")
def folded_once(module_database: Database) -> str:
    """The name of a database with a log of all kinds of events, whose read models are folded to its end."""
    versions.ensure(module_database.projector_uri)
    write(module_database.owner_uri, LOG)
    runner = Runner(module_database.projector_uri, LedgerMapper.of(SCRIP).decode)
    for start in range(0, len(LOG), 97):
        apply(runner, LOG[start : start + 97])
    runner.close()
    return str(conninfo_to_dict(module_database.owner_uri)["dbname"])


@pytest.fixture
def filled(servers: EmbeddedServers, folded_once: str) -> Iterator[Database]:
    """A copy of it for each test."""
    yield from copy_of(servers, folded_once)


def test_two_rebuilds_and_the_live_tables_are_identical(filled: Database) -> None:
    live = tables(filled.auditor_uri, offsets=True)
    seen: list[tuple[int, int, float]] = []
    first = run(filled, lambda *figures: seen.append(figures))
    assert (first.generation, first.events) == (2, len(LOG))
    assert first.rows == {name: len(rows) for name, rows in live.items()}
    assert (seen[-1][0], seen[-1][1]) == (len(LOG), len(LOG))
    assert repr(tables(filled.auditor_uri, offsets=True)) == repr(live)
    assert run(filled).generation == 3
    assert repr(tables(filled.auditor_uri, offsets=True)) == repr(live)
    with psycopg.connect(filled.projector_uri) as connection:
        connection.execute(
            "select make_read_generation(99)"
        )  # as a rebuild that is killed after its swap leaves one behind
    assert run(filled).generation == 4
    assert schemas(filled) == ["read_g4"]


@pytest.mark.parametrize("size", [1, 13])
def test_small_batches_give_the_same_rows(filled: Database, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    live = tables(filled.auditor_uri)
    monkeypatch.setattr(rebuild, "BATCH", size)  # refunds of debits and ends of holds of earlier batches
    run(filled)
    assert repr(tables(filled.auditor_uri)) == repr(live)


def test_a_rebuild_mends_what_was_tampered_with(filled: Database) -> None:
    right = tables(filled.auditor_uri)
    with psycopg.connect(filled.owner_uri) as connection:
        connection.execute("delete from read_g1.debits")
        connection.execute("update read_g1.reservations set item = 'other'")
    assert repr(tables(filled.auditor_uri)) != repr(right)
    run(filled)
    assert repr(tables(filled.auditor_uri)) == repr(right)


def test_a_projector_goes_on_with_the_new_generation(filled: Database) -> None:
    log = LogBuilder()
    for number in range(50):
        log.do(Grant(address="user:u:credits", grant_id=f"g{number}", amount=1, source="gift"), "new")
    base = {event.partition: event.position for event in LOG}.get(log.events[0].partition, 0)
    later = [event._replace(position=event.position + base) for event in log.events]
    runner = Runner(filled.projector_uri, LedgerMapper.of(SCRIP).decode)
    write(filled.owner_uri, later)
    apply(runner, later[:20])
    assert run(filled).generation == 2
    assert apply(runner, later).events == 0, "the rebuild took all that was committed"
    runner.close()
    last = {row[0]: row[1] for row in tables(filled.auditor_uri)["checkpoints"]}
    assert last[later[0].partition] == base + 50


@pytest.mark.parametrize("hindered", [False, True])
def test_what_is_applied_just_before_the_swap_is_not_lost(
    filled: Database, monkeypatch: pytest.MonkeyPatch, hindered: bool
) -> None:
    """The live generation moves on at the last moment; once, a reader's open query makes the swap give way as well."""
    log = busy(busy_shop(LogBuilder(), 600), 1100, seed=3).events
    assert log[: len(LOG)] == LOG
    later = log[len(LOG) :]
    reader = psycopg.connect(filled.auditor_uri)
    take_over = rebuild._Build._take_over
    tries: list[str] = []

    def at_the_last_moment(build: rebuild._Build) -> None:
        if not tries:
            write(filled.owner_uri, later)
            runner = Runner(filled.projector_uri, LedgerMapper.of(SCRIP).decode)
            assert apply(runner, later).events == len(later)
            runner.close()
            if hindered:
                reader.execute("select 1 from read.prices")
        tries.append("tried")
        try:
            take_over(build)
        finally:
            reader.rollback()

    monkeypatch.setattr(rebuild._Build, "_take_over", at_the_last_moment)
    assert run(filled).events == len(log)
    reader.close()
    monkeypatch.undo()
    assert len(tries) == 1 + hindered
    checkpoints = {row[0]: row[1] for row in tables(filled.auditor_uri)["checkpoints"]}
    assert checkpoints == ends(filled)
    rows = repr(tables(filled.auditor_uri))
    run(filled)
    assert repr(tables(filled.auditor_uri)) == rows


@pytest.mark.parametrize("projector", [True, False])
def test_under_concurrent_appends_nothing_is_missed(database: Database, projector: bool) -> None:  # noqa: C901 - three at once
    versions.ensure(database.projector_uri)
    log = busy(busy_shop(LogBuilder(), 800, seed=11), 1700, seed=11).events
    write(database.owner_uri, log[:1000])
    stop = threading.Event()
    positions: dict[int, int] = {}

    def append() -> None:
        for start in range(1000, len(log), 25):
            write(database.owner_uri, log[start : start + 25])

    def project() -> None:
        runner = Runner(database.projector_uri, LedgerMapper.of(SCRIP).decode)
        while not stop.is_set():
            for start in range(0, len(log), 50):
                part = log[start : start + 50]
                apply(runner, [event for event in part if event.position <= positions.get(event.partition, 0)])
            positions.update(ends(database))
        runner.close()

    def look() -> None:
        """Every look sees whole generations only: no partition's checkpoint ever goes back, sums always agree."""
        seen: dict[int, int] = {}
        with psycopg.connect(database.auditor_uri, autocommit=True) as connection:
            while not stop.is_set():
                with connection.transaction():
                    versions.pin(connection.cursor())
                    rows = connection.execute("select partition, position from read.checkpoints")
                    checkpoints: dict[int, int] = dict(rows.fetchall())
                    for partition, position in checkpoints.items():
                        if position < seen.get(partition, 0):
                            wrong.append((partition, position, seen[partition]))
                    seen = checkpoints
                    wrong.extend(connection.execute(DISAGREE).fetchall())

    wrong: list[object] = []
    threads = [threading.Thread(target=work) for work in (append, look, *([project] if projector else []))]
    for thread in threads:
        thread.start()
    numbers = [run(database).generation for _ in range(3)]
    joined(threads[0])
    numbers.append(run(database).generation)
    stop.set()
    joined(*threads)
    assert numbers == [2, 3, 4, 5]
    assert wrong == []
    under_load = tables(database.auditor_uri)
    assert {row[0]: row[1] for row in under_load["checkpoints"]} == ends(database)
    run(database)
    assert repr(tables(database.auditor_uri)) == repr(under_load)


# An account whose movements do not add up to its balance: rows of two generations, or of half a batch.
DISAGREE = """
    select b.org, b.address, b.available, t.total from read.balances b
    join (select org, address, sum(amount) as total from read.transactions group by 1, 2) t using (org, address)
    where b.available <> t.total"""


def ends(database: Database) -> dict[int, int]:
    with psycopg.connect(database.projector_uri) as connection:
        return dict(
            connection.execute(
                "select p, coalesce((select max(position) from events where partition = p), 0)"
                " from generate_series(0, 3) p"
            ).fetchall()
        )


def test_a_pinned_reader_keeps_its_generation(filled: Database) -> None:
    with psycopg.connect(filled.auditor_uri) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        versions.pin(reader.cursor())
        before = reader.execute("select count(*) from read.balances").fetchone()
        done = threading.Thread(target=run, args=(filled,))
        done.start()
        until(lambda: waits(filled))
        assert reader.execute("select count(*) from read.balances").fetchone() == before
        assert schemas(filled) == ["read_g1"]
        reader.rollback()
        done.join(DEADLINE_S)
    assert schemas(filled) == ["read_g2"]


def waits(database: Database) -> bool:
    with psycopg.connect(database.owner_uri) as connection:
        query = "select 1 from pg_locks where not granted and relation = 'read_generation'::regclass"
        return connection.execute(query).fetchone() is not None


KILLED = """
import sys
from consumers.rebuild import rebuild_from
from projections import rebuild
rebuild.BATCH = 50
def progress(done, total, rate):
    print(done, flush=True)
    sys.stdin.readline()
rebuild_from(sys.argv[1], progress)
"""


@pytest.mark.parametrize("steps", [1, 8])
def test_killed_in_the_middle_and_started_again(filled: Database, steps: int) -> None:
    right = tables(filled.auditor_uri, offsets=True)
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, filled.projector_uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    for _ in range(steps):
        assert child.stdout.readline()
        child.stdin.write("\n")
        child.stdin.flush()
    os.kill(child.pid, signal.SIGKILL)
    child.wait(ENOUGH_S)
    child.stdin.close()
    child.stdout.close()
    assert repr(tables(filled.auditor_uri, offsets=True)) == repr(right)
    assert run(filled).generation == 2
    assert schemas(filled) == ["read_g2"]
    assert repr(tables(filled.auditor_uri, offsets=True)) == repr(right)


def test_an_event_that_cannot_be_folded_leaves_the_live_generation(filled: Database) -> None:
    right = tables(filled.auditor_uri)
    with psycopg.connect(filled.owner_uri) as connection:
        connection.execute("alter table events disable trigger events_immutable")
        update = "update events set type = 'credits-minted.v9' where partition = %s and position = 5"
        connection.execute(update, (LOG[0].partition,))
    with pytest.raises(CannotApply, match=f"event 5 of partition {LOG[0].partition}"):
        run(filled)
    assert schemas(filled) == ["read_g1"]
    assert repr(tables(filled.auditor_uri)) == repr(right)


def test_a_hole_in_the_log_is_refused(filled: Database) -> None:
    with psycopg.connect(filled.owner_uri) as connection:
        connection.execute("alter table events disable trigger events_immutable")
        connection.execute("delete from events where partition = %s and position = 5", (LOG[0].partition,))
    with pytest.raises(CannotApply, match="event 5 is missing from the log"):
        run(filled)


def test_read_models_of_another_shape_are_replaced(filled: Database) -> None:
    right = tables(filled.auditor_uri)
    with psycopg.connect(filled.projector_uri) as connection:
        connection.execute("update read_generation set shape = 'older'")
        connection.execute("drop view read.debits")
        connection.execute("create view read.debits as select id, org from read_g1.debits")
    run(filled)
    assert repr(tables(filled.auditor_uri)) == repr(right)
    assert versions.ensure(filled.projector_uri) == (2, versions.shape())


def test_a_log_that_is_empty(database: Database) -> None:
    versions.ensure(database.projector_uri)
    assert run(database).events == 0
    log = LogBuilder()
    log.do(Grant(address="user:u:credits", grant_id="g", amount=3, source="gift"))
    log.do(Debit(address="user:u:credits", debit_id="d", amount=1))
    runner = Runner(database.projector_uri, LedgerMapper.of(SCRIP).decode)
    assert apply(runner, log.events).events == 2
    runner.close()


STANDS = """
import sys
from consumers.rebuild import rebuild_from
from projections import versions, rebuild
rebuild.HANGS = "1s" if sys.argv[2] != "show" else "1h"
rebuild.SWAP_HANGS = "1s"
step = getattr(versions, sys.argv[2])
def stand(*given, **named):
    print("stands", flush=True)
    sys.stdin.readline()
    return step(*given, **named)
setattr(versions, sys.argv[2], stand)
rebuild_from(sys.argv[1])
"""


@pytest.mark.parametrize("where", ["drop_others", "create_keys", "show"])
def test_a_rebuild_that_hangs_holds_up_nobody_for_long(filled: Database, where: str) -> None:
    """Before its transaction, while it folds, and in the swap, which projectors and readers wait for, too."""
    child = subprocess.Popen(
        [sys.executable, "-c", STANDS, filled.projector_uri, where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "stands\n"
    child.send_signal(signal.SIGSTOP)
    runner = Runner(filled.projector_uri, LedgerMapper.of(SCRIP).decode)
    assert len(runner.checkpoints()) == 4
    runner.close()
    assert run(filled).generation == 2
    child.stdin.write("\n")
    child.stdin.close()
    child.send_signal(signal.SIGCONT)
    assert child.wait(ENOUGH_S) != 0
    child.stdout.close()
    assert schemas(filled) == ["read_g2"]
