"""A long stream is read from its snapshot and the events after it; a snapshot that cannot be used is ignored."""

import msgspec
import psycopg
import pytest

from domain.credits.address import stream_of
from domain.registry import SCRIP
from infra.log.snapshots import decode_state, encode_state
from infra.writer import draft
from infra.writer.writer import Writer
from tests.conftest import Database
from tests.infra.writer.ledger_kit import (
    ALICE,
    DEADLINE_S,
    accepted,
    account,
    check_log,
    code,
    debit,
    grant,
    outcome,
    replayed,
    reserve,
    same_account,
    submission,
)

EVERY = 20


KIND = SCRIP.kind_of(stream_of(ALICE))


@pytest.fixture
def long_stream(writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """An account with three times as many events as a snapshot is made after, and some after the last one."""
    monkeypatch.setattr(draft, "SNAPSHOT_EVERY", EVERY)
    accepted(writer, grant(1000, expires_at=None))
    accepted(writer, reserve("r-1", 7))
    for start in range(3):
        batch = [submission(debit(f"d-{start}-{number}")) for number in range(EVERY)]
        assert {code(item) for item in writer.submit(batch).result(DEADLINE_S)} == {None}
    accepted(writer, debit("d-last", 3))
    return database


def snapshot(database: Database) -> tuple[int, int, bytes]:
    with psycopg.connect(database.owner_uri) as connection:
        row = connection.execute("select version, schema, state from snapshots").fetchone()
    assert row is not None
    return (row[0], row[1], row[2])


def change(database: Database, sql: str, *arguments: object) -> None:
    with psycopg.connect(database.owner_uri, autocommit=True) as connection:
        assert connection.execute(sql, arguments).rowcount == 1


def check(database: Database) -> None:
    """A writer that knows nothing yet decides as if it had read every event."""
    whole = replayed(database.owner_uri)
    with Writer(database.writer_uri, SCRIP) as cold:
        assert same_account(account(cold), whole)
        assert code(outcome(cold, debit("d-too-much", whole.available + 1))) == "insufficient_credits"
        accepted(cold, debit("d-more"))
    check_log(database.owner_uri)


def test_snapshot_and_tail_are_equal_to_a_replay_of_everything(long_stream: Database) -> None:
    version, schema, state = snapshot(long_stream)
    assert 2 * EVERY < version < 3 * EVERY + 3
    assert schema == KIND.schema
    assert decode_state(KIND, state).reserved == 7
    check(long_stream)


def test_a_snapshot_of_the_last_event_is_continued(long_stream: Database, writer: Writer) -> None:
    batch = [submission(debit(f"d-exactly-{number}")) for number in range(EVERY)]
    assert {code(item) for item in writer.submit(batch).result(DEADLINE_S)} == {None}
    assert snapshot(long_stream)[0] == len(check_log(long_stream.owner_uri))  # nothing comes after it
    check(long_stream)


def test_the_snapshot_is_really_used(long_stream: Database) -> None:
    """Or the tests here would show nothing: a snapshot with another balance changes what a cold writer sees."""
    wrong = decode_state(KIND, snapshot(long_stream)[2])._replace(granted=1_001)
    change(long_stream, "update snapshots set state = %b", encode_state(wrong))
    with Writer(long_stream.writer_uri, SCRIP) as cold:
        assert account(cold).granted == 1_001


@pytest.mark.parametrize("schema", [0, KIND.schema + 1, 32_767])
def test_a_snapshot_of_another_schema_is_ignored_and_replaced(long_stream: Database, schema: int) -> None:
    change(long_stream, "update snapshots set schema = %s, state = %b", schema, b"of another version of the code")
    check(long_stream)
    assert snapshot(long_stream)[1] == KIND.schema


@pytest.mark.parametrize(
    "damage",
    [lambda _state: b"", lambda _state: b"\x00" * 40, lambda state: state[:-3], lambda state: b"\xc1" + state],
    ids=["empty", "zeros", "cut short", "garbage before"],
)
def test_a_snapshot_that_cannot_be_read_is_ignored(long_stream: Database, damage: object) -> None:
    change(long_stream, "update snapshots set state = %b", damage(snapshot(long_stream)[2]))  # type: ignore[operator]
    check(long_stream)


def test_every_flipped_bit_of_a_snapshot_is_noticed(long_stream: Database) -> None:
    state = snapshot(long_stream)[2]
    for place in range(len(state)):
        flipped = bytearray(state)
        flipped[place] ^= 1 << (place % 8)
        with pytest.raises(msgspec.DecodeError):
            decode_state(KIND, bytes(flipped))


def test_snapshots_may_be_emptied_at_any_time(long_stream: Database, writer: Writer) -> None:
    change(long_stream, "delete from snapshots")
    accepted(writer, debit("d-warm"))
    check(long_stream)


def test_a_state_with_many_entries_is_not_written_every_so_often(
    writer: Writer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "SNAPSHOT_EVERY", 5)
    accepted(writer, grant(1000))
    for number in range(30):
        accepted(writer, reserve(f"r-{number}"))
    # 31 entries after 31 events: a snapshot pays only where the events outnumber the entries.
    versions = [snapshot(database)[0]]
    for number in range(30):
        accepted(writer, debit(f"d-{number}"))
        versions.append(snapshot(database)[0])
    assert len(set(versions)) <= 3
