"""The alert rules over real read models: each is crossed exactly once, at its threshold and not before (S1, S2, S3)."""

import asyncio
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from consumers.notifier.engine import Engine
from tests.conftest import Database

NOW = datetime.now(UTC)
NUMBERS = count(1)


class Book:
    """Read models that a test fills by hand, with the log's positions that say so."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.org = f"org{next(NUMBERS)}"

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.database.owner_uri, autocommit=True, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def put(self, table: str, stream: str, **given: Any) -> None:
        """Write a row and an event of the stream at the next position; what is not given is empty."""
        with psycopg.connect(self.database.owner_uri, autocommit=True) as connection:
            columns = connection.execute(
                "select column_name, data_type, is_nullable from information_schema.columns"
                " where table_schema = 'read_g1' and table_name = %s",
                (table,),
            ).fetchall()
            position = 1 + connection.execute("select coalesce(max(position), 0) from events").fetchone()[0]  # type: ignore[index]
            row = {name: EMPTY[type_] for name, type_, nullable in columns if nullable == "NO" and type_ in EMPTY}
            row |= {"org": self.org, "position": position, **given}
            if "created_position" in {name for name, *_ in columns}:
                row["created_position"] = position
            names = [name for name, *_ in columns if name in row]
            connection.execute(
                sql.SQL("delete from read_g1.{} where org = %s and {} = %s").format(
                    sql.Identifier(table), sql.Identifier(KEYS[table])
                ),
                (self.org, row[KEYS[table]]),
            )
            connection.execute(
                sql.SQL("insert into read_g1.{} ({}) values ({})").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(map(sql.Identifier, names)),
                    sql.SQL(", ").join(sql.Placeholder() * len(names)),
                ),
                [Jsonb(row[name]) if isinstance(row[name], dict | list) else row[name] for name in names],
            )
            connection.execute(
                "insert into events values (0, %s, %s, %s, %s, 'test.v1', null, 'admin:t', %s, '', %s)",
                (position, self.org, stream, position, NOW, bytes(32)),
            )
            connection.execute("update read_g1.checkpoints set position = %s where partition = 0", (position,))

    def rules(self, **rules: Any) -> None:
        """The organisation's own thresholds."""
        with psycopg.connect(self.database.owner_uri, autocommit=True) as connection:
            connection.execute("delete from read_g1.organisations where org = %s", (self.org,))
            connection.execute(
                "insert into read_g1.organisations (org, time_zone, enforce, pay_from, over_actual, settlement_policy,"
                " alert_rules, settings, plan, plan_version, tokens, credits, billing, plan_settings,"
                " created_at, version, position, updated_at) values (%s, 'UTC', '[]', '[]', 'refuse', '{}', %s, '{}',"
                " '', 0, '{}', 0, '', '{}', now(), 1, 1, now())",
                (self.org, Jsonb(rules)),
            )

    def last_look_was(self, ago: str) -> None:
        """Move the last look by time into the past."""
        with psycopg.connect(self.database.owner_uri, autocommit=True) as connection:
            connection.execute("update notifier_times set at = at - %s::interval", (ago,))

    def look(self) -> list[tuple[str, str]]:
        """Rule and severity of the alerts that a notifier raises which has just been started."""
        before = self.rows("select coalesce(max(id), 0) as id from alerts")[0]["id"]

        async def whole() -> None:
            options: dict[str, Any] = {"autocommit": True}
            async with await psycopg.AsyncConnection.connect(self.database.writer_uri, **options) as connection:
                engine = Engine()
                while await engine.look(connection):
                    pass

        asyncio.run(whole())
        found = self.rows("select * from alerts where id > %s and org = %s order by id", before, self.org)
        assert all(row["message"] and row["type"].startswith("scrip.") for row in found)
        return [(row["rule"], row["severity"]) for row in found]


EMPTY: dict[str, Any] = {
    "text": "",
    "bigint": 0,
    "numeric": 0,
    "integer": 0,
    "boolean": False,
    "jsonb": {},
    "timestamp with time zone": NOW,
}
KEYS = {
    "budgets": "user_id",
    "groups": "id",
    "balances": "address",
    "grants": "address",
    "generations": "id",
    "refusals": "position",
    "purchases": "id",
    "usage": "key",
}


@pytest.fixture
def book(module_database: Database) -> Book:
    """An organisation of its own for each test."""
    return Book(module_database)


def budget(book: Book, used: int, **given: Any) -> None:
    book.put("budgets", "budget/u1", user_id="u1", monthly=10_000_000, used=used, **{"period_key": "2026-03", **given})


def test_s2_a_budget_warns_at_75_and_90_percent_once_a_period(book: Book) -> None:
    """S2-5."""
    budget(book, 7_499_999)
    assert book.look() == []
    budget(book, 7_500_000)
    assert book.look() == [("budget", "warning")]
    assert book.look() == []
    budget(book, 8_000_000)
    assert book.look() == []
    budget(book, 9_000_000)
    assert book.look() == [("budget", "critical")]
    budget(book, 1_000_000)  # refunded
    budget(book, 9_900_000)
    assert book.look() == []
    budget(book, 9_900_000, period_key="2026-04")
    assert book.look() == [("budget", "warning"), ("budget", "critical")]
    (first, *_) = book.rows("select * from alerts where org = %s order by id", book.org)
    assert (first["user_id"], first["subject"]) == ("u1", "budget/u1")
    assert first["message"] == "75 % of this month's budget is used: $7.50 of $10.00."


def test_s1_each_limit_of_a_group_warns_by_itself_and_a_new_limit_is_a_new_crossing(book: Book) -> None:
    """S1-6."""

    def group(image: int, video: int, **given: Any) -> None:
        limits = {"image": 100, "video": 10, "tokens.forecast": None}
        row: dict[str, Any] = {"limits": limits, "used": {"image": image, "video": video}, "every": "total", **given}
        book.put("groups", "group/g1", id="g1", name="Design", **row)

    group(74, 0)
    assert book.look() == []
    group(75, 9)
    assert book.look() == [("group", "warning"), ("group", "warning"), ("group", "critical")]
    group(80, 9)
    assert book.look() == []
    group(80, 9, limits={"image": 90, "video": 0})
    assert book.look() == [("group", "warning")]
    group(89, 9, limits={"image": 90}, deleted_at=NOW)
    assert book.look() == []


def test_s3_an_organisation_is_told_when_80_percent_of_a_cycles_tokens_are_used(book: Book) -> None:
    """S3-8."""
    address = f"org:{book.org}:tokens.forecast"
    refresh = NOW + timedelta(days=20)

    def used(amount: int, refresh_at: datetime = refresh) -> None:
        book.put(
            "grants", "other", address=address, id="c1", source="plan", status="live", amount=30,
            remaining=30 - amount, spent=amount, expires_at=refresh_at,
        )  # fmt: skip
        book.put(
            "balances", f"account/{address}", address=address, owner_type="org", owner_id=book.org,
            unit="tokens.forecast", granted=1030, debited=amount, available=1030 - amount, allowance=30,
            allowance_granted=30, refresh_at=refresh_at,
        )  # fmt: skip

    used(23)
    assert book.look() == []
    used(24)
    assert book.look() == [("plan_tokens", "warning")]
    used(30)
    assert book.look() == []
    used(27, refresh + timedelta(days=30))
    assert book.look() == [("plan_tokens", "warning")]


def test_s4_credits_are_low_below_a_fifth_of_the_last_grant_and_armed_anew_by_the_next(book: Book) -> None:
    """S4-5."""
    address = "user:u1:credits"

    def left(amount: int, granted: int, last: int) -> None:
        book.put("grants", "other", address=address, id="g1", source="gift", status="live", amount=last, granted_at=NOW)
        book.put(
            "balances", f"account/{address}", address=address, owner_type="user", owner_id="u1", unit="credits",
            granted=granted, debited=granted - amount, available=amount - amount // 2, reserved=amount // 2,
        )  # fmt: skip

    left(20, 100, 100)
    assert book.look() == []
    left(19, 100, 100)
    assert book.look() == [("credits_low", "warning")]
    left(5, 100, 100)
    assert book.look() == []
    left(0, 100, 100)
    assert book.look() == [("credits_exhausted", "critical")]
    left(0, 100, 100)
    assert book.look() == []
    left(9, 150, 50)
    assert book.look() == [("credits_low", "warning")]
    left(0, 200, 50)
    assert book.look() == [("credits_exhausted", "critical")]


def test_credits_about_to_expire_are_told_though_nothing_happens_to_the_account(book: Book) -> None:
    def grant(id_: str, days: int, source: str = "purchase", stream: str = "other") -> None:
        book.put(
            "grants", stream, address=f"user:{id_}:credits", id=id_, source=source, status="live", amount=50,
            remaining=50, expires_at=datetime.now(UTC) + timedelta(days=days, seconds=-30),
        )  # fmt: skip

    grant("later", 9)
    grant("plan", 7, source="plan")
    grant("touched", 3, stream="account/user:touched:credits")
    grant("by-time", 7)
    book.last_look_was("1 minute")  # when `by-time` was still more than 7 days away
    assert book.look() == [("credits_expiring", "warning")] * 2
    assert book.look() == []
    found = book.rows("select user_id from alerts where org = %s order by user_id", book.org)
    assert [row["user_id"] for row in found] == ["by-time", "touched"]
    book.rules(credits_expiring={"days": 10})
    grant("later", 9, stream="account/user:later:credits")
    assert book.look() == [("credits_expiring", "warning")]


def generation(book: Book, id_: str, at: datetime, **given: Any) -> None:
    row: dict[str, Any] = {"user_id": "u1", "operation": "image", "status": "held", "created_at": at, **given}
    book.put("generations", f"generation/{id_}", id=id_, **row)


def test_rapid_requests_of_one_user_are_unusual(book: Book) -> None:
    book.rules(rapid_requests={"generations": 3})
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for second in (0, 30, 59):
        generation(book, f"a{second}", noon + timedelta(seconds=second))
    generation(book, "other", noon + timedelta(seconds=59), user_id="u2")
    assert book.look() == []
    generation(book, "late", noon + timedelta(seconds=60))  # the first was 60 s ago
    assert book.look() == []
    generation(book, "soon", noon + timedelta(seconds=61))
    assert book.look() == [("rapid_requests", "warning")]
    generation(book, "sooner", noon + timedelta(seconds=62))
    assert book.look() == []


def test_refused_generations_of_one_user_are_told(book: Book) -> None:

    def refused(minute: int) -> None:
        at = datetime(2026, 3, 1, 12, minute, tzinfo=UTC)
        book.put("refusals", "other", user_id="u1", at=at, reason="insufficient_credits", checks=[])
        generation(book, f"r{minute}", at, status="refused")

    for minute in (0, 3, 6, 9):
        refused(minute)
    assert book.look() == []
    refused(10)
    assert book.look() == []
    refused(12)
    assert book.look() == [("refused_generations", "warning")]
    refused(13)
    assert book.look() == []


def test_a_day_of_three_times_the_usual_credits_is_a_spike(book: Book) -> None:
    today = datetime.now(UTC).date()

    def used(days_ago: int, spent: int) -> None:
        at = datetime.combine(today - timedelta(days=days_ago), time.min, UTC)
        book.put("usage", "account/user:u1:credits", at=at, key=f"k{days_ago}", credits=spent)

    for day in range(1, 8):
        used(day, 1_000)
    used(8, 10**6)
    used(0, 3_000)
    generation(book, "g1", NOW)
    assert book.look() == []
    used(0, 3_001)
    generation(book, "g2", NOW)
    assert book.look() == [("usage_spike", "warning")]
    generation(book, "g3", NOW)
    assert book.look() == []


def test_ends_that_somebody_should_know_of(book: Book) -> None:
    generation(book, "well", NOW, status="completed")
    generation(book, "lost", NOW, status="expired")
    generation(book, "big", NOW, status="completed", uncharged={"credits": 3})
    book.put("purchases", "purchase/p1", id="p1", user_id="u1", status="pending")
    assert book.look() == [("generation_expired", "warning"), ("generation_exhausted", "warning")]
    book.put("purchases", "purchase/p1", id="p1", user_id="u1", status="completed")
    assert book.look() == [("purchase_completed", "info")]
    assert book.look() == []


def test_an_organisation_sets_its_own_thresholds_and_switches_rules_off(book: Book) -> None:
    book.rules(budget={"warning": 50, "critical": 99})
    budget(book, 5_000_000)
    assert book.look() == [("budget", "warning")]
    budget(book, 9_500_000)
    assert book.look() == []
    book.rules(budget={"enabled": False})
    budget(book, 10_000_000)
    assert book.look() == []


def test_what_a_failed_look_saw_is_seen_again(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    budget(book, 8_000_000)

    async def refuse(*_: Any) -> None:
        raise psycopg.OperationalError("gone")

    with monkeypatch.context() as patched:
        patched.setattr("consumers.notifier.engine.advance", refuse)
        with pytest.raises(psycopg.OperationalError):
            book.look()
    assert book.rows("select 1 from alerts where org = %s", book.org) == []
    assert book.look() == [("budget", "warning")]


def test_the_largest_sums_stop_no_rule(book: Book) -> None:
    most = 10**18
    book.put("groups", "group/g1", id="g1", name="g", limits={"image": 1}, used={"image": most})
    account = {"address": "org:x:tokens.a", "owner_type": "org", "unit": "tokens.a", "owner_id": "x"}
    book.put(
        "balances",
        "account/org:x:tokens.a",
        **account,
        granted=4 * most,
        available=3 * most,
        reserved=most,
        allowance=1,
    )
    for day in range(8):
        at = datetime.combine(datetime.now(UTC).date() - timedelta(days=day), time.min, UTC)
        book.put("usage", "account/user:u1:credits", at=at, key=f"k{day}", credits=100 * most * (9 if day == 0 else 1))
    budget(book, most)
    assert {rule for rule, _ in book.look()} >= {"group", "budget"}
