"""A stream too large to be loaded while others wait is loaded beside them, and decided and answered on then."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event

import psycopg
import pytest

from domain.credits.account import Account, evolve
from domain.credits.address import stream_of
from domain.credits.events import CreditsGranted, CreditsReserved, Slice
from domain.kernel.work import Stream
from domain.registry import SCRIP
from infra.log.mapper import LedgerMapper
from infra.log.snapshots import decode_in_steps, decode_state, encode_in_steps, encode_state
from infra.writer import large
from infra.writer.cache import Cache
from infra.writer.large import LargeStreams
from infra.writer.ledger import Ledger
from infra.writer.loading import Loader
from infra.writer.submission import OutcomeUnknown
from infra.writer.writer import Writer
from tests.conftest import Database
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
    replayed,
    reserve,
    results,
    same_account,
    submission,
    until,
)

SMALL = 20
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = BEGIN + timedelta(days=1)
KIND = SCRIP.kind_of(stream_of(ALICE))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts as large, and how much of it is loaded in one step."""
    for module in ("cache", "draft", "loading"):
        monkeypatch.setattr(f"infra.writer.{module}.LARGE", SMALL)
    monkeypatch.setattr("infra.writer.large.PAGE", 7)
    monkeypatch.setattr("infra.writer.large.REST", 0.0)
    monkeypatch.setattr("infra.log.snapshots.STEP", 3)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Nothing large is loaded before it is set."""
    opened, load = Event(), LargeStreams._load

    def waits(self: LargeStreams, key: tuple[str, str]) -> None:
        assert opened.wait(DEADLINE_S)
        load(self, key)

    monkeypatch.setattr(LargeStreams, "_load", waits)
    yield opened
    opened.set()


def crowd(writer: Writer, holds: int = 3 * SMALL) -> None:
    """An account with many holds, and another one."""
    accepted(writer, grant(1_000, BOB, "g-bob"))
    accepted(writer, grant(1_000, ALICE, "g-alice"))
    for number in range(holds):
        accepted(writer, reserve(f"r-{number}", 1))


def test_others_are_decided_while_it_is_loaded(writer: Writer, database: Database, gate: Event) -> None:
    crowd(writer)
    with Writer(database.writer_uri, SCRIP) as cold:
        waiting = [cold.submit([submission(debit(f"d-{number}"), f"k-{number}")]) for number in range(3)]
        unit = cold.submit([submission(debit("e-1", address=BOB)), submission(debit("e-2"))], atomic=True)
        for number in range(3):
            assert code(results(cold, submission(debit(f"b-{number}", address=BOB)))[0]) is None
        assert not any(future.done() for future in (*waiting, unit))
        assert cold.depth == 5
        gate.set()
        for future in (*waiting, unit):
            assert {code(each) for each in future.result(DEADLINE_S)} == {None}
        assert cold.depth == 0
        assert account(cold).available == 1_000 - 3 * SMALL - 4
        assert same_account(account(cold), replayed(database.owner_uri))
    check_log(database.owner_uri)


def test_who_waits_for_it_is_told_at_the_deadline(writer: Writer, database: Database, gate: Event) -> None:
    crowd(writer)
    with Writer(database.writer_uri, SCRIP) as cold:
        late = cold.submit([submission(debit("d-1"))], timeout_s=0.2)
        assert isinstance(late.exception(DEADLINE_S), OutcomeUnknown)
        gate.set()
        assert code(results(cold, submission(debit("d-2")))[0]) is None


def test_questions_of_others_are_answered_while_it_is_loaded(writer: Writer, database: Database, gate: Event) -> None:
    crowd(writer)
    alice, bob = stream_of(ALICE), stream_of(BOB)
    with Asking(database.writer_uri, SCRIP, deadline_s=0.3) as asking:
        with pytest.raises(OutcomeUnknown):
            asking.now("acme", [alice, bob])
        assert asking.now("acme", [bob]).states[bob].available == 1_000
        gate.set()
    with Asking(database.writer_uri, SCRIP) as asking:
        Ledger(writer, DEADLINE_S, asking.reader)
        accepted(writer, debit("d-1"))
        assert asking.now("acme", [alice, bob]).states[alice].available == 999 - 3 * SMALL
        accepted(writer, debit("d-2"))
        assert same_account(asking.now("acme", [alice]).states[alice], account(writer))


def test_its_snapshot_is_kept_afterwards_and_used(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.writer.draft.SNAPSHOT_EVERY", 10)
    crowd(writer)

    def kept() -> int:
        with psycopg.connect(database.owner_uri) as connection:
            row = connection.execute("select max(version) from snapshots where state is not null").fetchone()
        return int(row[0] or 0) if row else 0

    until(lambda: kept() > SMALL, "a snapshot of a large state")
    monkeypatch.setattr("infra.writer.loading.LARGE_BYTES", 1)
    found: list[int] = []
    snapshot = LargeStreams._snapshot

    def noted(self: LargeStreams, key: tuple[str, str]) -> Stream | None:
        loaded = snapshot(self, key)
        found.append(loaded.version if loaded else 0)
        return loaded

    monkeypatch.setattr(LargeStreams, "_snapshot", noted)
    with Writer(database.writer_uri, SCRIP) as cold:
        accepted(cold, debit("d-1"))
        assert same_account(account(cold), replayed(database.owner_uri))
    assert found
    assert found[0] > SMALL


def test_a_load_that_fails_is_tried_again(writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(writer)
    monkeypatch.setattr(large, "RETRY_S", 0.01)
    load, failures = LargeStreams._load, list[str]()

    def fails(self: LargeStreams, key: tuple[str, str]) -> None:
        if len(failures) < 2:
            failures.append(key[1])
            raise psycopg.OperationalError("gone")
        load(self, key)

    monkeypatch.setattr(LargeStreams, "_load", fails)
    with Writer(database.writer_uri, SCRIP) as cold:
        accepted(cold, debit("d-1"))
    assert failures == [stream_of(ALICE)] * 2


def many_holds(count: int) -> Account:
    """An account with so many holds, which end at five moments."""
    part = Slice("g", 10**6, "purchase", 100, BEGIN + timedelta(days=9), BEGIN)
    state = evolve(Account(), CreditsGranted(grant=part))
    for number in range(count):
        end = BEGIN + timedelta(seconds=(number * 7) % 5)
        held = CreditsReserved(reservation_id=f"r{number}", amount=1, expires_at=end, slices=(part._replace(amount=1),))
        state = evolve(state, held)
    return state


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 100, 70_000])
def test_steps_give_the_same_bytes_and_the_same_state(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if count > 1_000:
        monkeypatch.setattr("infra.log.snapshots.STEP", 10_000)
    state = many_holds(count)
    *_, stored = encode_in_steps(state)
    assert stored == encode_state(state)
    *_, back = decode_in_steps(KIND, stored)
    assert back == decode_state(KIND, stored) == state
    assert list(back.holds.ended(LATER)) == list(state.holds.ended(LATER))


def test_large_states_drive_out_nobody_and_have_a_bound_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    crowded = Stream(1, many_holds(30), 0)
    cache = Cache(SCRIP.kind_of, LedgerMapper.of(SCRIP), 5)
    cache.put(("acme", "account/large"), crowded)
    for name in "abcdef":
        cache.put(("acme", f"account/{name}"), Stream(1, Account(), 0))
    cache.trim()
    assert sorted(key[1] for key in cache.streams) == [f"account/{name}" for name in ("c", "d", "e", "f", "large")]

    monkeypatch.setattr("infra.writer.loading.LARGE_KEPT", 70)
    loader = Loader(SCRIP, 1_000)
    for partition, name in enumerate("abc"):
        loader.cache(partition).put(("acme", f"account/{name}"), crowded)
    loader.trim()
    assert [sorted(loader.cache(partition).streams) for partition in range(3)] == [
        [], [("acme", "account/b")], [("acme", "account/c")],
    ]  # fmt: skip
    assert [loader.cache(partition).weight for partition in range(3)] == [0, 1, 1]
