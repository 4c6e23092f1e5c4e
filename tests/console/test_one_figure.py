"""One use, one figure: whatever way it was charged, the ledger, every report, every file and the console agree."""

import asyncio
import csv
import html
import io
import json
import re
import secrets
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, get_args

import httpx
import psycopg
import pytest

from api.users.analytics import GroupBy
from cli.importing.forms import source_of
from consumers.rebuild import rebuild_from
from domain.credits.commands import ReservePriced, WriteOffShortfall
from domain.prices.quote import Ask
from infra.audit.read_models import ReadModels, check_ledger
from infra.audit.report import Section
from infra.audit.store import one_moment
from infra.log.postgres import PostgresLog
from tests.api.generating import ok, tell
from tests.api.service import Service
from tests.conftest import move_clock
from tests.console.conftest import Visitor
from tests.consumers.intake_ledger import bench
from tests.consumers.usage_records import binary, completed, metered, structured

ORG = f"of{secrets.token_hex(4)}"
ZONE = "Asia/Kathmandu"  # 5:45 before UTC
FILM = {"operation": "video", "model": "MiniMax-Hailuo-02", "options": {"resolution": "512P", "duration": 6}}  # 320
SIZED = {"operation": "image", "options": {"size": "1024x1024", "quality": "hd"}}  # 0.08 USD, 100 tokens
ANALYTICS = "/api/v1/analytics"
PICTURE = "https://cdn.example/1.png"
UNITS = {"credits": "credits", "tokens": "tokens", "vouchers": "other"}
CHARGES = {"debited", "captured", "shortfall_collected", "refunded"}
DAYS = {"from": "2020-01-01", "to": "2020-02-01"}


class Walk:
    """Charges in every way there is, for two users and an organisation's account."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.boss, self.worker = service.client(org=ORG), service.client("worker", "gpu", org=ORG)
        self.ann = service.client("user", "ann", org=ORG)

    def give(self, address: str, amount: int) -> None:
        ok(self.boss.post(f"/api/v1/accounts/{address}/grants", json={"amount": amount, "source": "gift"}), 201)

    def begin(self, **asked: Any) -> str:
        return str(ok(self.worker.post("/api/v1/generations", json={"user_id": "ann", **asked}), 201)["generation_id"])

    def end(self, id_: str, how: str = "confirm", **said: Any) -> None:
        ok(self.worker.post(f"/api/v1/generations/{id_}/{how}", json=said))

    def settings(self) -> None:
        admin = self.service.client("admin")
        ok(admin.put(f"/api/v1/organisations/{ORG}/plan", json={"plan": "pro"}))
        policy = {"provider_error": 50}
        changed = {"time_zone": ZONE, "settlement_policy": policy, "over_actual": "available"}
        ok(self.boss.patch(f"/api/v1/organisations/{ORG}", json=changed))
        for unit in UNITS:
            self.give(f"user:ann:{unit}", 100_000)
        self.give(f"org:{ORG}:credits", 5_000)

    def generations(self) -> None:
        self.end(self.begin(**FILM), provider_cost={"amount": "0.25", "currency": "USD"})
        self.end(self.begin(**FILM | {"provider": "minimax", "model": "minimax-hailuo-02"}))
        self.end(self.begin(**FILM), "fail", outcome="provider_error")
        self.end(self.begin(**SIZED, feature="generate_goal"), content={"url": PICTURE, "bytes": 5},
                 provider_cost={"amount": "10", "currency": "EUR"})  # fmt: skip
        parts = self.begin(**{**FILM, "options": {"resolution": "512P", "duration": 6, "count": 3}})
        self.end(parts, final=False, actual={"credits": 100})
        self.end(parts, succeeded=1, actual={"credits": 1_500})  # more than was held
        ok(self.boss.post(f"/api/v1/generations/{parts}/refund", json={"amount": 77, "reason": "half was black"}))
        shared = self.begin(user_id="carl", **FILM) if self._shared() else ""
        self.end(shared)

    def _shared(self) -> bool:
        ok(self.boss.patch(f"/api/v1/organisations/{ORG}", json={"pay_from": ["user:{user}", "org:{org}"]}))
        return True

    def reservations(self) -> None:
        path = "/api/v1/accounts/user:ann:credits/reservations"
        first = ok(self.worker.post(path, json={"amount": 50}), 201)["reservation_id"]
        ok(self.worker.post(f"{path}/{first}/capture", json={"amount": 20, "final": False}))
        ok(self.worker.post(f"{path}/{first}/capture", json={"amount": 15}))
        priced = ReservePriced(address="user:ann:credits", reservation_id="priced", ask=Ask(model="FLUX.1 [dev]"))
        tell(self.service, priced, ORG)
        ok(self.worker.post(f"{path}/priced/capture", json={}))
        third = ok(self.worker.post(path, json={"amount": 50}), 201)["reservation_id"]
        ok(self.worker.post(f"{path}/{third}/release", json={}))
        mine = "/api/credits/me"
        for asked in ({"amount": 30}, {"model": FILM["model"], "options": FILM["options"]}):
            held = ok(self.ann.post(mine, json={"action": "reserve", **asked}))
            ok(self.ann.post(mine, json={"action": "confirm", "transaction_id": held["transaction_id"]}))

    def debits(self) -> None:
        for unit, amount in (("credits", 40), ("vouchers", 9)):
            path = f"/api/v1/accounts/user:ann:{unit}/debits"
            debit = ok(self.worker.post(path, json={"amount": amount, "reason": "upscale"}), 201)["debit_id"]
            ok(self.boss.post(f"{path}/{debit}/refunds", json={"amount": 3}), 201)
        ok(self.worker.post(f"/api/v1/accounts/org:{ORG}:credits/debits", json={"amount": 11}), 201)
        operations = [{"path": "/api/v1/accounts/user:ann:credits/debits", "body": {"amount": 7}}]
        done = ok(self.worker.post("/api/v1/batch", json={"operations": operations}))
        assert done["results"][0]["status"] == 201

    def plan_tokens(self) -> None:
        body = {"action": "deduct", "feature": "generate_goal", "user_id": "ann"}
        assert ok(self.worker.post("/api/v1/tokens/check-balance", json=body))["allowed"]

    def costs(self) -> None:
        entries = [
            {"id": f"cost-{number}", "user_id": "ann", "size": "1024x1024", "quality": "hd", **cost}
            for number, cost in enumerate(({"cost": "0.12", "success": True}, {"cost": "0.5", "success": False}))
        ]
        results = ok(self.worker.post("/api/v1/budgets/costs", json={"entries": entries}))["results"]
        assert [each["status"] for each in results] == ["ok", "ok"]

    def usage_events(self) -> None:
        """Metered, priced, a completed reservation, and rows as the import sends them."""
        account = "user:ann:credits"
        path = f"/api/v1/accounts/{account}/reservations"
        held = ok(self.worker.post(path, json={"amount": 60}), 201)["reservation_id"]
        own = {"scriporg": ORG}
        rows = {"source": source_of(ORG, account), **own}
        records = [
            metered("m1", 13, "ann", **own),
            structured("m2", {"user_id": "ann", "provider": "bfl", "model": "flux.1 [dev]"}, **own),
            binary("r1", {"address": account, "amount": 17}, **rows),
            binary("r2", {"address": account, "operation": "image", "model": "FLUX.1 [dev]"}, **rows),
        ]
        last = completed("c1", held, actual={"credits": 21})
        assert last.value is not None
        records.append(last._replace(value=last.value.replace(b'"acme"', json.dumps(ORG).encode())))

        async def apply() -> None:
            async with bench(self.service.database) as found:
                tally = await found.intake.process(records)
                assert (tally.applied, tally.refused) == (len(records), 0), await found.waiting()

        asyncio.run(apply())

    def late_and_short(self) -> None:
        """Completed after it had expired, when nothing is left: the next grant pays a part, the rest is written off."""
        self.give("user:dora:credits", 320)
        late = self.begin(user_id="dora", **FILM, ttl_seconds=60)
        move_clock(self.service.database, "2 hours")
        ok(self.worker.post("/api/v1/accounts/user:dora:credits/debits", json={"amount": 300}), 201)
        self.end(late)
        self.give("user:dora:credits", 100)
        tell(self.service, WriteOffShortfall(address="user:dora:credits"), ORG)
        self.service.project()
        debits = ok(self.boss.get("/api/v1/accounts/user:dora:credits/transactions"))["items"]
        (collected,) = [each["debit_id"] for each in debits if each["type"] == "shortfall_collected"]
        path = f"/api/v1/accounts/user:dora:credits/debits/{collected}/refunds"
        ok(self.boss.post(path, json={"amount": 4}), 201)


@pytest.fixture(scope="module")
def walked(site: Service) -> Service:
    """Everything was charged, over two hours of one month: budgets begin anew with the next."""
    now = datetime.now(UTC)
    if (now + timedelta(days=2)).month != now.month:
        move_clock(site.database, "3 days")
    walk = Walk(site)
    for step in (
        walk.settings, walk.generations, walk.reservations, walk.debits, walk.plan_tokens, walk.costs,
        walk.usage_events,
    ):  # fmt: skip
        step()
    site.project()
    walk.late_and_short()
    site.project()
    return site


@pytest.fixture(scope="module")
def ledger(walked: Service) -> dict[str, Any]:
    """What the write side says was debited less refunded, by report's name, and by account."""
    with psycopg.connect(walked.database.owner_uri) as connection:
        streams = connection.execute(
            "select distinct stream from events where org = %s and stream like 'account/%%'", (ORG,)
        ).fetchall()
    boss = walked.client(org=ORG)
    sums: Counter[str] = Counter()
    accounts = {}
    for (stream,) in streams:
        address = stream.removeprefix("account/")
        now = ok(boss.get(f"/api/v1/accounts/{address}/balance"))
        used = now["debited"] - now["refunded"]
        accounts[address] = used
        sums[UNITS.get(address.rpartition(":")[2], "plan_tokens")] += used
    usd = Decimal(0)
    for user in ("ann", "carl", "dora"):
        usd += Decimal(ok(boss.get("/api/v1/budgets/me", params={"user_id": user}))["used_monthly"])
    assert all(sums.values()), sums
    assert usd > 0
    return {"sums": dict(sums), "accounts": accounts, "usd": usd}


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def expected(ledger: dict[str, Any]) -> dict[str, Any]:
    return {**ledger["sums"], "usd": ledger["usd"]}


@pytest.mark.parametrize("group_by", [each for each in get_args(GroupBy) if each != "group"])
def test_analytics_add_up_to_the_ledger_by_everything(walked: Service, ledger: dict[str, Any], group_by: str) -> None:
    reader = walked.client("auditor", org=ORG)
    for metric, total in expected(ledger).items():
        for bucket in ("hour", "day", "week", "month"):
            asked = {"metric": metric, "group_by": group_by, "bucket": bucket}
            found = ok(reader.get(ANALYTICS, params=asked))
            assert Decimal(found["total"]) == total, (asked, found)
            assert sum(Decimal(item["value"]) for item in found["items"]) == total
        lines = rows_of(reader.get(ANALYTICS, params={**asked, "format": "csv"}))
        assert sum(Decimal(line[metric]) for line in lines) == total


def test_one_name_for_each_provider_and_model(walked: Service) -> None:
    """Whether a request names the provider, and in which case, is no difference."""
    reader = walked.client("auditor", org=ORG)
    for group_by, names in (("provider", {"MiniMax", "BFL", None}), ("model", {FILM["model"], "FLUX.1 [dev]", None})):
        found = ok(reader.get(ANALYTICS, params={"metric": "credits", "group_by": group_by, "bucket": "month"}))
        assert {item["key"] for item in found["items"]} == names
    found = ok(reader.get(ANALYTICS, params={"metric": "credits", "group_by": "operation", "bucket": "month"}))
    ways = {"video", "image", "debit", "metered", "import", "reservation", "shortfall"}
    assert {item["key"] for item in found["items"]} == ways


def test_reports_and_files_of_users(walked: Service, ledger: dict[str, Any]) -> None:
    reader = walked.client("auditor", org=ORG)
    items = ok(reader.get(f"{ANALYTICS}/users"))["items"]
    lines = rows_of(reader.get(f"{ANALYTICS}/users", params={"format": "csv"}))
    assert [item["user_id"] for item in items] == [None, "ann", "carl", "dora"]
    for name, total in expected(ledger).items():
        if name != "other":
            assert sum(Decimal(item[name]) for item in items) == total, name
            assert sum(Decimal(line[name]) for line in lines) == total, name
    assert items[1]["provider_cost_other"] == {"EUR": "10.00"}
    budget = ok(reader.get("/api/v1/budgets/me/analytics", params={"user_id": "ann"}))
    assert Decimal(budget["total_spent"]) == ledger["usd"]


def test_statements_forecasts_and_the_log_of_tokens(walked: Service, ledger: dict[str, Any]) -> None:
    reader = walked.client("auditor", org=ORG)
    forecast = {each["address"]: each for each in ok(reader.get("/api/v1/forecasts", params={"limit": 200}))["items"]}
    for address, used in ledger["accounts"].items():
        assert forecast[address]["used_in_window"] == used, address
        path = f"/api/v1/accounts/{address}/statement"
        moves = ok(reader.get(path))["movements"]
        assert -sum(each["amount"] for each in moves if each["type"] in CHARGES) == used, address
        lines = rows_of(reader.get(path, params={"format": "csv"}))
        assert -sum(int(line["amount"]) for line in lines if line["type"] in CHARGES) == used, address
    log = ok(reader.get("/api/v1/tokens/usage-log", params={"limit": 200}))["items"]
    stats = ok(reader.get("/api/v1/tokens/stats"))
    assert sum(each["tokens"] for each in log) == ledger["sums"]["plan_tokens"]
    assert sum(each["total_used"] for each in stats["tokens"].values()) == ledger["sums"]["plan_tokens"]
    assert stats["monitoring"]["tokens_this_month"] == ledger["sums"]["plan_tokens"]


def test_no_field_has_the_id_of_another_thing(walked: Service) -> None:
    reader = walked.client("auditor", org=ORG)
    moves = ok(reader.get("/api/v1/accounts/user:ann:credits/transactions", params={"limit": 200}))["items"]
    made = {each["generation_id"] for each in ok(reader.get("/api/v1/generations", params={"limit": 200}))["items"]}
    assert {each["generation_id"] for each in moves} - {None} <= made
    plain = [each for each in moves if each["reservation_id"] and each["item"] is None]
    assert plain
    assert all(each["generation_id"] is None for each in plain)
    costs = ok(reader.get("/api/v1/budgets/me/costs", params={"user_id": "ann"}))["items"]
    assert PICTURE in {each["image_url"] for each in costs if each["kind"] == "generation"}


def test_the_console_shows_the_same(walked: Service, ledger: dict[str, Any], visitor: Visitor) -> None:
    person = visitor("org_admin", "boss", ORG)
    for metric, total in expected(ledger).items():
        page = html.unescape(person.get(f"/analytics?metric={metric}&group_by=none&bucket=month").text)
        (shown,) = re.findall(r"Total: ([0-9,.$ ]+)", page)
        assert Decimal(shown.replace(",", "").replace("$", "").strip()) == total, metric
        lines = rows_of(person.get(f"/analytics/export?metric={metric}&group_by=none"))
        assert sum(Decimal(line[metric]) for line in lines) == total
    assert "10.00 EUR" in person.get("/analytics?metric=margin").text


def test_the_tables_and_the_audit_say_the_same_also_after_a_rebuild(walked: Service, ledger: dict[str, Any]) -> None:
    usage = "select * from read.usage order by org, at, key"
    sums = "select sum(credits), sum(tokens), sum(other), sum(plan_tokens), sum(usd) from read.{} where org = %s"
    with psycopg.connect(walked.database.auditor_uri, autocommit=True) as connection:
        kept = connection.execute(usage).fetchall()
        for table in ("usage", "usage_daily"):
            (found,) = connection.execute(sums.format(table).encode(), (ORG,)).fetchall()
            assert found == (*(ledger["sums"][name] for name in UNITS.values()), ledger["sums"]["plan_tokens"],
                             int(ledger["usd"] * 10**6))  # fmt: skip
        (charged,) = connection.execute("select sum(amount - refunded) from read.debits where org = %s", (ORG,))
        assert charged[0] == sum(ledger["accounts"].values())
        rebuild_from(walked.database.projector_uri)
        assert connection.execute(usage).fetchall() == kept
    with one_moment(walked.database.auditor_uri, read_models=True) as look:
        shown = Section("read models")
        check_ledger(look, PostgresLog.within(look).heads(), Section("ledger"), ReadModels(look, shown))
    assert shown.checked["usage"]


def test_windows_side_by_side_add_up(walked: Service, ledger: dict[str, Any]) -> None:
    """Days of an offset, quarters of an hour, days of the organisation: nothing is in two of them, nothing in none."""
    reader = walked.client("auditor", org=ORG)
    whole = ok(reader.get(ANALYTICS, params={"metric": "credits"}))
    start, end = (datetime.fromisoformat(whole[name]) for name in ("starts_at", "ends_at"))
    assert (whole["time_zone"], whole["total"]) == (ZONE, ledger["sums"]["credits"])
    assert (end - start, start.isoformat()[11:16]) == (timedelta(days=30), "18:15")

    def parted(edges: list[str]) -> int:
        asked = ({"metric": "credits", "from": one, "to": other} for one, other in pairwise(edges))
        return sum(ok(reader.get(ANALYTICS, params=each))["total"] for each in asked)

    last = end - timedelta(days=1)
    quarters = [(last + timedelta(minutes=15 * number)).isoformat() for number in range(97)]
    assert parted([start.isoformat(), *quarters]) == whole["total"]
    days = [(end.date() - timedelta(days=number)).isoformat() for number in range(5, -3, -1)]
    assert parted([start.isoformat(), *(f"{day}T00:00:00+05:30" for day in days)]) == whole["total"]
    assert parted([whole["from"], *days[:4], whole["to"]]) == whole["total"]
    refused = reader.get(ANALYTICS, params={"from": "2026-01-01T00:07:00Z"}).json()
    assert (refused["status"], refused["field"]) == (422, "from"), refused
    assert "quarter" in refused["detail"]
