"""The log's own statements: append, lock, look."""

from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import errors

from infra.log import statements
from infra.log.chain import GENESIS, link_of
from infra.log.events import LedgerEvent
from infra.log.postgres import PostgresLog
from infra.log.statements import CommandRow, Connection, columns, joined
from infra.partitions import partition_of
from tests.conftest import PARTITIONS, Database
from tests.infra.writer.ledger_kit import check_log, locked, stored

TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def session(database: Database) -> Connection:
    """The writer's kind of connection."""
    return statements.connect(database.writer_uri, "test")


def some(count: int) -> list[LedgerEvent]:
    events, previous = [], GENESIS
    for position in range(1, count + 1):
        event = LedgerEvent(
            0,
            position,
            "acme",
            "account/user:ü:credits",
            position,
            "credits-granted.v1",
            f"grant/{position}" if position % 2 else None,
            "user:ü",
            TIME,
            b'{"\x00\xff": %d}' % position,
            b"",
        )
        previous = link_of(previous, event)
        events.append(event._replace(hash=previous))
    return events


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_what_is_appended_comes_back_as_it_was(session: Connection, database: Database, count: int) -> None:
    with session, session.transaction(), session.cursor(binary=True) as cursor:
        statements.lock(cursor, [0])
        PostgresLog.append(cursor, some(count))
    assert stored(database.owner_uri) == some(count)
    assert check_log(database.owner_uri) == some(count)


@pytest.mark.parametrize("count", [1, 2, 500])
def test_keys_are_found_with_what_was_kept_for_them(session: Connection, count: int) -> None:
    rows = [
        CommandRow("acme", "user:ü", f"k-{n}", b"\x00f" if n % 2 else None, 1, n, n % 3, b"{}" if n % 3 == 0 else None)
        for n in range(count)
    ]
    with session, session.cursor(binary=True) as cursor:
        statements.insert_commands(cursor, [])
        statements.insert_commands(cursor, rows)
        statements.find_commands(
            cursor, [row[:3] for row in rows] + [("acme", "user:ü", "k"), ("acme", "other", "k-0")]
        )
        assert sorted(CommandRow(*row) for row in cursor.fetchall()) == sorted(rows)
        with pytest.raises(errors.UniqueViolation):
            statements.insert_commands(cursor, rows[:1])


@pytest.mark.parametrize("field", ["org", "stream", "type", "actor"])
@pytest.mark.parametrize("text", ["a\x1fb", "\x1e"])
def test_control_characters_in_a_text_are_refused_and_move_nothing(
    session: Connection, database: Database, field: str, text: str
) -> None:
    events = some(3)
    changed: dict[str, Any] = {field: text}
    events[1] = events[1]._replace(**changed)
    with session, session.cursor(binary=True) as cursor, pytest.raises(errors.NotNullViolation):
        PostgresLog.append(cursor, events)
    assert stored(database.owner_uri) == []


def test_the_lock_keeps_others_out_until_the_end_of_the_transaction(session: Connection, database: Database) -> None:
    with session, locked(database.writer_uri, "acme"):
        session.execute("set lock_timeout = '50ms'")
        session.execute("begin")
        with pytest.raises(errors.LockNotAvailable):
            statements.lock(session.cursor(), [partition_of("acme", PARTITIONS)])
        session.execute("rollback")
        session.execute("begin")
        statements.lock(session.cursor(), [(partition_of("acme", PARTITIONS) + 1) % PARTITIONS])
        session.execute("rollback")


def test_a_look_begins_with_what_was_seen_and_heads_are_the_last(session: Connection) -> None:
    with session, session.cursor(binary=True) as cursor:
        PostgresLog.append(cursor, some(5))
        seen = cursor.execute(statements.LOOK, ([0, 1], [3, 0])).fetchall()
        assert [LedgerEvent(*row[2:]) for row in seen] == some(5)[2:]
        ((time, waited_s, *nothing),) = cursor.execute(statements.LOOK, ([1], [0])).fetchall()
        assert (type(time), waited_s >= 0, set(nothing)) == (datetime, True, {None})
        heads = cursor.execute(statements.HEADS, ([0, 1],)).fetchall()
        assert heads == [(0, 5, some(5)[-1].hash, TIME)]


def test_columns_of_nothing_are_empty_columns() -> None:
    assert columns([], 3) == [[], [], []]
    assert columns([(1, "a"), (2, "b")], 2) == [[1, 2], ["a", "b"]]
    assert joined(["a", "b"]) == "a\x1fb"
