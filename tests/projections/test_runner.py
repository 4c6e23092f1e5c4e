"""Batches applied to real tables: each event once and in order, whatever comes twice, too early or not at all."""

from collections.abc import Iterator
from itertools import pairwise
from threading import Thread, current_thread
from time import monotonic
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.credits.commands import Debit, Grant
from domain.credits.events import AccountConfigured
from domain.registry import SCRIP
from infra.log.events import LedgerEvent
from infra.log.mapper import LedgerMapper
from infra.partitions import partition_of
from projections import READ_MODELS, runner, versions
from projections.facts import CannotApply
from projections.runner import Applied, Checkpoint, Runner, load
from tests.conftest import Database
from tests.projections.busy_shop import busy_shop
from tests.projections.folding import apply, by_partition, tables
from tests.projections.log_builder import LogBuilder, busy

LOG = busy(busy_shop(LogBuilder(), 300, seed=7), 700, seed=7).events


@pytest.fixture
def ready(database: Database) -> Database:
    """A database with an empty first generation."""
    versions.ensure(database.projector_uri)
    return database


@pytest.fixture
def one(ready: Database) -> Iterator[Runner]:
    """A runner on it."""
    made = Runner(ready.projector_uri, LedgerMapper.of(SCRIP).decode)
    yield made
    made.close()


@pytest.fixture
def at_once(ready: Database) -> str:
    """All rows after the whole log in one batch."""
    whole = Runner(ready.projector_uri, LedgerMapper.of(SCRIP).decode)
    apply(whole, LOG)
    whole.close()
    return repr(tables(ready.auditor_uri))


def two_debits(org: str) -> list[LedgerEvent]:
    log = LogBuilder()
    log.do(Grant(address="user:u:credits", grant_id="g", amount=10, source="gift"), org)
    log.do(Debit(address="user:u:credits", debit_id="d1", amount=1), org)
    log.do(Debit(address="user:u:credits", debit_id="d2", amount=2), org)
    return log.events


def available(database: Database, org: str) -> int:
    with psycopg.connect(database.auditor_uri) as connection:
        row = connection.execute("select available from read.balances where org = %s", (org,)).fetchone()
    return row[0] if row else 0


def stops(database: Database) -> list[tuple[int, int, str]]:
    with psycopg.connect(database.auditor_uri) as connection:
        return connection.execute("select partition, position, reason from read_stops order by 1").fetchall()


def test_everything_is_applied_and_the_checkpoints_say_so(ready: Database, one: Runner) -> None:
    assert apply(one, LOG) == (len(LOG), {}, {})
    last = {event.partition: event.position for event in LOG}
    offsets = {partition: batch[-1][1] for partition, batch in by_partition(LOG).items()}
    for partition, checkpoint in one.checkpoints().items():
        assert checkpoint == Checkpoint(last.get(partition, 0), offsets.get(partition))
    rows = tables(ready.auditor_uri)
    assert len(rows["debits"]) > 40
    assert any(row[-1].endswith("-1") for row in rows["transactions"]), "captures have two movements"
    assert {row[2] for row in rows["checkpoints"]} <= {event.time for event in LOG} | {None}


def test_repeats_change_nothing(ready: Database, one: Runner) -> None:
    apply(one, LOG[:300])
    before = tables(ready.auditor_uri)
    assert apply(one, LOG[:300]).events == 0
    assert apply(one, LOG[100:250]).events == 0
    assert tables(ready.auditor_uri) == before
    assert apply(one, LOG[200:]).events == len(LOG) - 300


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, len(LOG)), max_size=6), again=st.integers(0, 40), small=st.booleans())
def test_any_split_gives_the_same_rows(
    ready: Database, at_once: str, monkeypatch: pytest.MonkeyPatch, cuts: list[int], again: int, small: bool
) -> None:
    monkeypatch.setattr(runner, "MAX_ROWS_IN_MEMORY", 3 if small else 30_000)
    reset(ready)
    split = Runner(ready.projector_uri, LedgerMapper.of(SCRIP).decode)
    edges = [0, *sorted(set(cuts)), len(LOG)]
    for start, end in pairwise(edges):
        assert apply(split, LOG[max(0, start - again) : end]).events == end - start
    split.close()
    assert repr(tables(ready.auditor_uri)) == at_once


def reset(database: Database) -> None:
    with psycopg.connect(database.projector_uri) as connection:
        for model in READ_MODELS:
            connection.execute(f"truncate read_g1.{model.name}")  # type: ignore[arg-type, unused-ignore]
        connection.execute("update read_g1.checkpoints set position = 0, kafka_offset = null, time = null")


def test_a_gap_is_reported_and_what_lies_before_it_applied(ready: Database, one: Runner) -> None:
    events = two_debits("acme")
    applied = apply(one, [events[0], events[2]])
    partition = events[0].partition
    assert applied.events == 1
    assert (applied.gaps[partition].expected, applied.gaps[partition].got) == (2, 3)
    assert apply(one, events) == (2, {}, {})
    assert available(ready, "acme") == 7


def test_a_zombie_applies_nothing_twice(ready: Database, one: Runner) -> None:
    events = two_debits("acme")
    zombie = Runner(ready.projector_uri, LedgerMapper.of(SCRIP).decode)
    apply(zombie, events[:2])  # it now has the account in memory, as it is after two events
    assert apply(one, events).events == 1
    assert apply(zombie, events).events == 0
    zombie.close()
    assert available(ready, "acme") == 7


def test_a_zombie_with_rows_in_memory_reads_them_again(ready: Database, one: Runner) -> None:
    log = LogBuilder()
    log.do(Grant(address="user:u:credits", grant_id="g", amount=10, source="gift"))
    slow = Runner(ready.projector_uri, LedgerMapper.of(SCRIP).decode)
    apply(slow, log.events)
    log.do(Debit(address="user:u:credits", debit_id="d1", amount=1))
    apply(one, log.events)
    log.do(Debit(address="user:u:credits", debit_id="d2", amount=2))
    assert apply(slow, log.events[2:]).events == 1
    slow.close()
    assert available(ready, "acme") == 7


def test_two_at_once_apply_an_event_once(ready: Database, one: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first one's checkpoint, and then finds the event repeated."""
    events = two_debits("acme")
    apply(one, events[:1])
    second = Runner(ready.projector_uri, LedgerMapper.of(SCRIP).decode)
    second.checkpoints()  # connected
    waiting = (
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'scrip projector'"
        " and datname = current_database()"
    )
    results: list[Applied] = []
    other = Thread(target=lambda: results.append(apply(second, events)))

    def meanwhile(*arguments: Any) -> None:
        if current_thread() is not other:
            other.start()
            with psycopg.connect(ready.owner_uri, autocommit=True) as watching:
                deadline = monotonic() + 20
                while other.is_alive() and watching.execute(waiting).fetchone() != (1,):
                    assert monotonic() < deadline
        load(*arguments)

    monkeypatch.setattr(runner, "load", meanwhile)
    assert apply(one, events).events == 2
    other.join(20)
    second.close()
    assert results == [(0, {}, {})]
    assert (available(ready, "acme"), stops(ready)) == (7, [])


def orgs_of_two_partitions() -> tuple[str, str]:
    first = "acme"
    other = next(name for name in map("other-{}".format, range(99)) if partition_of(name, 4) != partition_of(first, 4))
    return first, other


def of_a_later_version(type_: str, data: bytes) -> object:
    """Decodes the event type of the next test, which this version does not know."""
    if type_ == "credits-minted.v9":
        return AccountConfigured(frozen=False, closed=False, credit_limit=0)
    return LedgerMapper.of(SCRIP).decode(type_, data)


def test_an_unknown_event_stops_its_partition_and_no_other(ready: Database, one: Runner) -> None:
    sick, well = orgs_of_two_partitions()
    log = LogBuilder()
    for org in (sick, well):
        log.do(Grant(address="user:u:credits", grant_id="g", amount=10, source="gift"), org)
    log.store_bytes(sick, "account/user:u:credits", "credits-minted.v9", b'{"actor":"a","cause":"c","data":{}}')
    for org in (sick, well):
        log.do(Debit(address="user:u:credits", debit_id="d", amount=1), org)
    applied = apply(one, log.events)
    partition = partition_of(sick, 4)
    assert list(applied.stopped) == [partition]
    assert (available(ready, sick), available(ready, well)) == (10, 9)
    assert stops(ready) == [
        (partition, 2, "credits-minted.v9: the event type credits-minted.v9 is unknown to this version of Scrip")
    ]
    assert apply(one, log.events).stopped.keys() == {partition}
    newer = Runner(ready.projector_uri, of_a_later_version)
    assert apply(newer, log.events[2:]).events == 2
    newer.close()
    assert (available(ready, sick), stops(ready)) == (9, [])


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_an_event_that_fits_no_table_is_found_among_many(ready: Database, one: Runner, place: str) -> None:
    before = {"first": 0, "middle": 11, "last": 30}[place]
    log = LogBuilder()
    log.do(Grant(address="user:u:credits", grant_id="g", amount=1000, source="gift"))
    for number in range(before):
        log.do(Debit(address="user:u:credits", debit_id=f"d{number}", amount=1))
    bad = log.do(Debit(address="user:u:credits", debit_id="d\0", amount=1))[0]  # no text column takes a NUL
    for number in range(before, 30):
        log.do(Debit(address="user:u:credits", debit_id=f"d{number}", amount=1))
    applied = apply(one, log.events)
    assert applied.events == before + 1
    assert applied.stopped[bad.partition].position == bad.position
    assert "CharacterNotInRepertoire" in stops(ready)[0][2]
    assert available(ready, "acme") == 1000 - before


def test_a_key_that_is_used_twice_stops_the_partition(ready: Database, one: Runner) -> None:
    log = LogBuilder()
    log.do(Grant(address="user:u:credits", grant_id="g", amount=1000, source="gift"))
    log.do(Debit(address="user:u:credits", debit_id="d", amount=1))
    apply(one, log.events)
    log.do(Debit(address="user:u:credits", debit_id="d", amount=1))
    applied = apply(one, log.events)
    assert "UniqueViolation" in str(applied.stopped[log.events[0].partition])


def test_a_partition_that_the_log_does_not_have(ready: Database, one: Runner) -> None:
    events = [event._replace(partition=77) for event in two_debits("acme")]
    assert "no such partition" in str(apply(one, events).stopped[77])


def test_a_broken_connection_loses_and_doubles_nothing(ready: Database, one: Runner) -> None:
    apply(one, LOG[:200])
    with psycopg.connect(ready.owner_uri, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'scrip projector' and datname = current_database()"
        )
    with pytest.raises(psycopg.OperationalError):
        apply(one, LOG)
    assert apply(one, LOG).events == len(LOG) - 200
    assert one.stopped == {}


def test_readers_may_look_and_not_touch(ready: Database) -> None:
    for uri in (ready.auditor_uri, ready.reader_uri, ready.writer_uri):
        with psycopg.connect(uri, autocommit=True) as connection:
            for model in versions.tables():
                connection.execute(f"select * from read.{model.name}")  # type: ignore[arg-type, unused-ignore]
            for statement in ("delete from read.balances", "delete from read_g1.balances", "drop view read.balances"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)  # type: ignore[arg-type, unused-ignore]


def test_the_first_generation_is_made_once(database: Database) -> None:
    first = versions.ensure(database.owner_uri)
    assert versions.ensure(database.projector_uri) == first == (1, versions.shape())
    with psycopg.connect(database.projector_uri) as connection:
        connection.execute(
            "insert into read_g1.balances"
            " select 'o', 'a:b:c', 'a', 'b', 'c', 1, 0, 0, 0, 0, 0, 0, 0, 1,"
            " false, false, 0, 0, 0, 0, null, null, 1, 1, now()"
        )
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("update read_g1.balances set available = 2")


def test_no_read_models_is_said_plainly(database: Database) -> None:
    with psycopg.connect(database.owner_uri) as connection:
        connection.execute("delete from read_generation")
    bare = Runner(database.projector_uri, LedgerMapper.of(SCRIP).decode)
    with pytest.raises(versions.NoReadModels):
        apply(bare, LOG[:1])
    bare.close()


def test_stopping_is_remembered_with_its_reason(ready: Database, one: Runner) -> None:
    one.stop(CannotApply(2, 5, "not ours"))
    assert stops(ready) == [(2, 5, "not ours")]
