"""The writer's look-ups stay index scans when the tables have grown, whatever they were planned on before."""

import json
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from consumers.notifier import engine
from infra.embedded import EmbeddedServers
from infra.log import statements
from infra.log.statements import Connection
from infra.partitions import partition_of
from infra.writer.loading import ANY, NO_SCHEMA
from tests.conftest import PARTITIONS, copy_of

TABLES = ("events", "commands", "snapshots")
ROWS = 100_000
ORG = "acme"
PARTITION = partition_of(ORG, PARTITIONS)

MOST = 32 * 130  # the events of the streams asked for, and no others

KEYS = [([ORG] * 32, ["test"] * 32, [f"k-{number * 77 + 1}" for number in range(32)])]
STREAMS = [([ORG] * 32, [f"account/user:u{number}:credits" for number in range(32)], [1] * 32)]
WHOLE = ([0] * 32, [ANY] * 32, [ANY] * 32)
LOOKUPS: dict[str, tuple[str, Any]] = {
    "commands": (statements.COMMANDS, tuple(statements.joined(column) for column in KEYS[0])),
    "streams": (statements.STREAMS, (*STREAMS[0], *WHOLE)),
    "streams without snapshots": (statements.STREAMS, (*STREAMS[0][:2], [NO_SCHEMA] * 32, *WHOLE)),
    "a page of a stream": (statements.PAGE, (ORG, STREAMS[0][1][0], 0, MOST)),
    "tagged": (statements.TAGGED, ([ORG] * 32, [f"debit/d-{number * 77}" for number in range(32)])),
    "heads": (statements.HEADS, (list(range(PARTITIONS)),)),
    "look": (statements.LOOK, ([PARTITION], [ROWS - 10])),
    "look at all": (
        statements.LOOK,
        (list(range(PARTITIONS)), [ROWS - 10 if p == PARTITION else 0 for p in range(PARTITIONS)]),
    ),
    "what changed, for alerts": (engine._STREAMS, ([PARTITION], [ROWS - 10], [ROWS])),
    "ranges": (statements.RANGES, ([PARTITION] * 32, [number * 77 + 10 for number in range(32)], [1] * 32)),
}


@pytest.fixture(scope="module", params=["never analysed", "analysed"])
def session(request: pytest.FixtureRequest, servers: EmbeddedServers, template: str) -> Any:
    """The writer's kind of connection, whose statements were all prepared and run on tables that were empty then.

    Whether the statistics of the full tables reach PostgreSQL before the statements run again makes no difference.
    """
    with (
        contextmanager(copy_of)(servers, template) as database,
        statements.connect(database.writer_uri, "test") as connection,
    ):
        with psycopg.connect(database.owner_uri, autocommit=True) as owner:
            for table in TABLES:
                owner.execute(f"alter table {table} set (autovacuum_enabled = false)")
            owner.execute("analyze")
            for sql, arguments in LOOKUPS.values():
                for _ in range(2):
                    connection.execute(sql, arguments, binary=True).fetchall()
            _fill(owner)
            if request.param == "analysed":
                owner.execute("analyze")
        yield connection


@pytest.mark.parametrize("name", LOOKUPS)
def test_no_look_up_reads_a_table_from_end_to_end(session: Connection, name: str) -> None:
    sql, arguments = LOOKUPS[name]
    plan = _explain(session, sql, arguments)
    scans = [node for node in _nodes(plan) if "Relation Name" in node]
    assert scans
    for node in scans:
        assert "Index" in node["Node Type"], node["Node Type"]
        assert "Index Cond" in node or node["Node Type"] == "Index Only Scan"
        touched = node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
        assert touched <= MOST


@pytest.mark.parametrize("name", LOOKUPS)
def test_what_was_prepared_on_empty_tables_is_still_quick(session: Connection, name: str) -> None:
    sql, arguments = LOOKUPS[name]
    sequential, indexed = _reads(session)
    assert session.execute(sql, arguments, binary=True).fetchall()
    now_sequential, now_indexed = _reads(session)
    assert now_sequential == sequential
    assert 0 < now_indexed - indexed <= 2 * MOST  # a stream's snapshot, and its events


def test_a_stream_comes_as_its_snapshot_and_the_events_after_it_in_order(session: Connection) -> None:
    """In one statement, whose order is that of its parts."""
    plan = _explain(session, *LOOKUPS["streams"])
    assert {node["Relation Name"] for node in _nodes(plan) if "Relation Name" in node} == {"events", "snapshots"}
    for name, snapshots in (("streams", 1), ("streams without snapshots", 0)):
        found: dict[str, list[tuple[int, Any]]] = {}
        for _, stream, version, type_, _ in session.execute(*LOOKUPS[name], binary=True).fetchall():
            found.setdefault(stream, []).append((version, type_))
        assert len(found) == 32
        for stream, rows in found.items():
            assert [type_ for _, type_ in rows].count(None) == snapshots, stream
            versions = [version for version, _ in rows]
            first, last = 50 if snapshots else 1, 100 if stream == "account/user:u0:credits" else 99
            assert versions == [*range(first, last + 1)], stream
            assert rows[0][1] is None or not snapshots, stream


def test_the_session_bounds_its_waits_and_plans_once(session: Connection) -> None:
    shown = {
        name: session.execute(f"show {name}").fetchone()[0]  # type: ignore[index]
        for name in (
            "plan_cache_mode",
            "lock_timeout",
            "statement_timeout",
            "idle_in_transaction_session_timeout",
            "transaction_timeout",
            "transaction_isolation",
            "TimeZone",
        )
    }
    assert shown == {
        "plan_cache_mode": "force_generic_plan",
        "lock_timeout": "10s",
        "statement_timeout": "1min",
        "idle_in_transaction_session_timeout": "10s",
        "transaction_timeout": "30s",
        "transaction_isolation": "read committed",
        "TimeZone": "UTC",
    }


def _fill(owner: psycopg.Connection[Any]) -> None:
    owner.execute(
        "insert into events select %(p)s, n, %(org)s, 'account/user:u' || n %% 1000 || ':credits', n / 1000,"
        " 'credits-debited.v1', 'debit/d-' || n, 'test', now(), '{}', sha256(n::text::bytea)"
        " from generate_series(1, %(rows)s) n",
        {"p": PARTITION, "org": ORG, "rows": ROWS},
    )
    owner.execute(
        "insert into commands select %(org)s, 'test', 'k-' || n, null, %(p)s, n, 1, null"
        " from generate_series(1, %(rows)s) n",
        {"p": PARTITION, "org": ORG, "rows": ROWS},
    )
    owner.execute(
        "insert into snapshots select %(org)s, 'account/user:u' || n || ':credits', 50, 1, ''"
        " from generate_series(0, %(rows)s) n",
        {"org": ORG, "rows": ROWS // 10},
    )


def _explain(session: Connection, sql: str, arguments: Any) -> dict[str, Any]:
    row = session.execute(f"explain (analyze, format json) {sql}", arguments, binary=False).fetchone()
    assert row is not None
    found = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", ()) for node in _nodes(part))]


def _reads(session: Connection) -> tuple[int, int]:
    """Rows read from end to end so far, and entries of indexes."""
    session.execute("select pg_stat_force_next_flush()")
    session.execute("select pg_stat_clear_snapshot()")
    row = session.execute(
        "select (select sum(seq_tup_read) from pg_stat_user_tables where relname = any(%(tables)s)),"
        " (select sum(idx_tup_read) from pg_stat_user_indexes where relname = any(%(tables)s))",
        {"tables": list(TABLES)},
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
