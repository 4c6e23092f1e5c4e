"""The reference fold: it agrees with the ledger, finds broken rules, and finds every wrong row of a read model."""

import json
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg.rows import dict_row

from domain.credits.account import Account
from domain.credits.address import stream_of
from domain.credits.events import (
    CreditsDebited,
    CreditsRefunded,
    CreditsTransferredOut,
    ReservationCaptured,
    ReservationExpired,
)
from domain.quotas import counted
from domain.registry import SCRIP
from infra.audit.read_models import (
    BALANCES,
    BUDGETS,
    CONTENTS,
    DEBITS,
    GENERATIONS,
    GRANTS,
    GROUPS,
    PRICES,
    RESERVATIONS,
    STORAGES,
    TABLES,
    TRANSACTIONS,
    NotShown,
    ReadModels,
    Shown,
    Table,
    check_ledger,
)
from infra.audit.report import Differs, Section
from infra.audit.store import PIN, one_moment, rows
from infra.log.postgres import PostgresLog
from projections import versions
from tests.conftest import Database
from tests.domain.credits.facts import below_zero, granted, part, reserved
from tests.domain.scenario import ALICE, BOB, after
from tests.infra.audit.tampering import Audited, busy_log
from tests.projections.log_builder import LogBuilder


@pytest.fixture(scope="module")
def honest(module_database: Database) -> Audited:
    """Never tampered with: tests change it inside a transaction that is rolled back, if at all."""
    audited = Audited.of(module_database, busy_log(2000))
    audited.project()
    return audited


def check(audited: Audited, *, shown: bool = True) -> tuple[Section, Section]:
    ledger, models = Section("ledger"), Section("read models")
    with one_moment(audited.database.auditor_uri, read_models=True) as connection:
        check_ledger(
            connection,
            PostgresLog.within(connection).heads(),
            ledger,
            ReadModels(connection, models) if shown else None,
        )
    return ledger, models


def found(audited: Audited, *, shown: bool = True) -> Differs:
    with pytest.raises(Differs) as caught:
        check(audited, shown=shown)
    return caught.value


def test_an_honest_ledger_agrees_with_the_reference_in_every_row(honest: Audited) -> None:
    ledger, models = check(honest)
    assert ledger.checked["events"] == len(honest.log.events)
    assert ledger.checked["accounts"] == len(list(honest.log.accounts()))
    with psycopg.connect(honest.database.auditor_uri) as connection:
        for table in TABLES:
            ((count,),) = connection.execute(f"select count(*) from read.{table.name}").fetchall()
            assert models.checked[table.name] == count > 0


def test_the_log_of_this_test_has_every_type_of_event(honest: Audited) -> None:
    # Of what nothing is counted for has no such events.
    unused = set() if SCRIP.resources.counting else set(counted.MODULE.events)
    assert {event.type for event in honest.log.events} == set(SCRIP.events) - unused


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_that_readers_see_is_compared(honest: Audited, table: Table) -> None:
    with psycopg.connect(honest.database.auditor_uri) as connection:
        row = next(rows(connection, f"select * from read.{table.name} order by {table.order}", make=dict_row))
        Shown(connection, table).must_show(row)
        for column in row:
            with pytest.raises(NotShown, match=column):
                Shown(connection, table).must_show({name: row[name] for name in row if name != column})


def test_the_lock_is_the_one_that_a_swap_waits_for() -> None:
    assert PIN == versions.PIN


Spoil = Callable[[Table, str], Differs]


@pytest.fixture(scope="module")
def spoiled(honest: Audited) -> Spoil:
    """Changes a table of the read models, checks, and puts everything back."""

    def run(table: Table, statement: str) -> Differs:
        with psycopg.connect(honest.database.owner_uri) as connection:
            name = f"{versions.live(connection.cursor()).schema}.{table.name}"
            connection.execute(f"create table public.kept as table {name}")
            assert connection.execute(statement.format(name)).rowcount > 0
        try:
            return found(honest)
        finally:
            with psycopg.connect(honest.database.owner_uri) as connection:
                connection.execute(f"truncate {name}")
                connection.execute(f"insert into {name} table public.kept")
                connection.execute("drop table public.kept")

    return run


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_missing_row(spoiled: Spoil, table: Table) -> None:
    difference = spoiled(table, "delete from {0} where ctid = (select max(ctid) from {0})")
    assert difference.where == f"read model {table.name}"
    assert str(difference.expected).startswith("a row")


@pytest.mark.parametrize(
    ("org", "table"),
    [("z-org" if number % 2 else "a-org", table) for number, table in enumerate(TABLES) if table is not PRICES],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_row_too_many(spoiled: Spoil, org: str, table: Table) -> None:
    """Before all others and after them."""
    other = f"(jsonb_populate_record(row, jsonb_build_object('org', '{org}'))).*"
    difference = spoiled(table, "insert into {0} select " + other + " from {0} row limit 1")
    assert difference.where == f"read model {table.name}"
    assert str(difference.found).startswith("a row org=")


def test_a_price_version_too_many(spoiled: Spoil) -> None:
    columns = "effective_at, entries, published_at, position"
    statement = f"insert into {{0}} select version + 1, {columns} from {{0}}"
    assert spoiled(PRICES, statement).found == "a row version=2"


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (BALANCES, "granted = granted + 1, available = available + 1"),
        (BALANCES, "shortfall = shortfall + 1"),
        (BALANCES, "updated_at = updated_at + interval '1 microsecond'"),
        (TRANSACTIONS, "balance_after = balance_after - 1"),
        (TRANSACTIONS, "actor = 'user:mallory'"),
        (RESERVATIONS, "status = status || '!'"),
        (GRANTS, "remaining = remaining + 1"),
        (GRANTS, "expires_at = now()"),
        (DEBITS, "amount = amount + 1"),
        (PRICES, "entries = jsonb_set(entries, '{{3,credits}}', '1')"),
        (GENERATIONS, "charged_credits = charged_credits + 1"),
        (STORAGES, "used = used + 1"),
        (GROUPS, "used = used || '{{\"image\": 1000}}'"),
        (BUDGETS, "held = held + 1"),
        (CONTENTS, "bytes = bytes + 1"),
    ],
)
def test_a_changed_value(spoiled: Spoil, table: Table, change: str) -> None:
    column = change.split(" = ", 1)[0]
    difference = spoiled(table, "update {0} set " + change + " where ctid = (select min(ctid) from {0})")
    assert difference.where.startswith(f"{column} of read model {table.name}, row")


def test_a_log_without_read_models_is_checked_all_the_same(honest: Audited) -> None:
    ledger, models = check(honest, shown=False)
    assert ledger.checked["events"] == len(honest.log.events)
    assert models.checked == {}


HOLD = reserved(part(40))
CAPTURED = ReservationCaptured(reservation_id="r1", debit_id="d1", amount=40, slices=(part(40),), final=True)
DEBITED = CreditsDebited(debit_id="d1", amount=10, slices=(part(10),))
REFUND = CreditsRefunded(refund_id="f1", debit_id="d1", amount=11, returned=(part(11),))
EXPIRED = ReservationExpired(reservation_id="r1", amount=40, returned=(part(40),))
GIFT = CreditsTransferredOut(transfer_id="t1", to=BOB, amount=10, slices=(part(10),))


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([granted(0)], "a grant of 0"),
        ([granted(100), replace(HOLD, amount=39)], "slices do not add up"),
        ([granted(10), HOLD], "grant g1 would have -30 free"),
        ([granted(100), replace(HOLD, slices=(below_zero(40),))], "below zero although there are free credits"),
        ([replace(HOLD, slices=(below_zero(40),))], "40 below zero, the limit is 0"),
        ([granted(100), granted(40, "g0"), HOLD], "grant g1 is not the one that burns first"),
        ([granted(100), replace(HOLD, expires_at=after(0))], "a hold that must not be"),
        ([granted(100), HOLD, HOLD], "the reservation r1 exists"),
        ([granted(100), HOLD, CAPTURED, CAPTURED], "the reservation r1 had ended"),
        ([granted(100), HOLD, replace(CAPTURED, amount=39, slices=(part(39),))], "not what was held comes back"),
        ([granted(100), HOLD, replace(CAPTURED, amount=41, slices=(part(41),))], "not what was held is charged"),
        ([granted(100), CAPTURED], "the reservation r1 is unknown"),
        ([granted(100), HOLD, EXPIRED], "expired before its end"),
        ([granted(100), DEBITED, DEBITED], "the debit d1 of 10"),
        ([granted(100), DEBITED, REFUND], "11 refunded of 10"),
        ([granted(100), REFUND], "the debit d1 is unknown in this account"),
        ([granted(100), replace(DEBITED, amount=11)], "slices do not add up"),
    ],
)
def test_a_broken_rule(database: Database, events: list[object], reason: str) -> None:
    log = LogBuilder()
    log.now = after(1)
    for event in events:
        last = log.store("acme", stream_of(ALICE), event)
    difference = found(Audited.of(database, log), shown=False)
    assert difference.where == (
        f"{last.type} at partition {last.partition} position {last.position}, account {ALICE} of acme"
    )
    assert str(difference.found) == f"Broken: {reason}"


def test_one_side_of_a_transfer(database: Database) -> None:
    log = LogBuilder()
    log.now = after(1)
    for event in (granted(100), GIFT, granted(1, "g2")):
        log.store("acme", stream_of(ALICE), event)
    assert found(Audited.of(database, log), shown=False).found == "one side"


def test_a_cut_between_the_two_sides_of_a_transfer_is_no_difference(database: Database) -> None:
    log = LogBuilder()
    log.now = after(1)
    for event in (granted(100), GIFT):
        log.store("acme", stream_of(ALICE), event)
    check(Audited.of(database, log), shown=False)


@pytest.mark.parametrize(
    ("change", "what"),
    [("actor = 'user:mallory'", "actor"), ("tag = 'debit/other'", "tag"), ("tag = null", "tag")],
)
def test_columns_that_the_hash_does_not_cover(database: Database, change: str, what: str) -> None:
    audited = Audited.of(database, busy_log(300))
    victim = next(event for event in audited.busiest if event.tag)
    audited.tamper(
        f"update events set {change} where partition = %s and position = %s", victim.partition, victim.position
    )
    assert found(audited, shown=False).where == f"{what} of partition {victim.partition} position {victim.position}"


@pytest.mark.parametrize(
    "stored", [b"\xff", b"[]", b'{"actor":"user:tester","cause":"k","data":[]}', b'{"actor":"user:tester","data":{}}']
)
def test_bytes_that_say_nothing(database: Database, stored: bytes) -> None:
    log = LogBuilder()
    row = log.store_bytes("acme", stream_of(ALICE), "credits-debited.v1", stored, "debit/d1")
    assert f"partition {row.partition} position 1" in found(Audited.of(database, log), shown=False).where


def test_a_type_that_no_account_knows(database: Database) -> None:
    log = LogBuilder()
    stored = json.dumps({"actor": "user:tester", "cause": "k", "data": {}}).encode()
    log.store_bytes("acme", stream_of(ALICE), "credits-minted.v1", stored)
    assert "credits-minted.v1" in str(found(Audited.of(database, log), shown=False).found)


def test_the_reference_and_the_ledger_have_the_same_totals(honest: Audited) -> None:
    """A third look: the states that decisions saw, beside the rows that the reference has just confirmed."""
    with psycopg.connect(honest.database.auditor_uri) as connection:
        rows = connection.execute("select org, address, available, reserved from read.balances").fetchall()
    for org, address, available, held in rows:
        account: Account = honest.log.state(org, address)
        assert (account.available, account.reserved) == (available, held)
