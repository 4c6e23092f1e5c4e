"""S2: monthly budgets and costs over HTTP, on a real database: one API and one organisation for each test."""

import secrets
from datetime import datetime
from typing import Any

import httpx
import psycopg
import pytest

from domain.organisations.commands import ConfigureOrganisation
from infra.writer.submission import Submission
from tests.api.service import Service
from tests.conftest import move_clock
from tests.resource_names import Resource

MINE = "/api/v1/budgets/me"
COSTS = "/api/v1/budgets/costs"


class Organisation:
    """An organisation of one test's own, and its callers."""

    def __init__(self, service: Service) -> None:
        self.service, self.org = service, f"o{secrets.token_hex(4)}"
        self.admin, self.worker = self.client("org_admin", "boss"), self.client("worker", "w")
        self.ann = self.client("user", "ann")

    def client(self, role: str, sub: str) -> httpx.Client:
        return self.service.client(role, sub, self.org)

    def record(self, *entries: dict[str, Any], key: str | None = None) -> list[Any]:
        """Costs of ann's, with successes of 0.04 where nothing else is said."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = self.worker.post(COSTS, json={"entries": [cost(**entry) for entry in entries]}, headers=headers)
        assert answer.status_code == 200, answer.text
        results: list[Any] = answer.json()["results"]
        return results

    def budget(self) -> Any:
        return self.ann.get(MINE).json()


def cost(**fields: Any) -> dict[str, Any]:
    return {"id": secrets.token_hex(6), "user_id": "ann", "cost": "0.04", "success": True} | fields


@pytest.fixture
def acme(service: Service) -> Organisation:
    return Organisation(service)


def test_the_default_at_first_look(acme: Organisation) -> None:
    """S2-1, S2-6: who has no budget gets 10 USD at first look, with its month and how it reads."""
    told = acme.budget()
    assert (told["monthly_budget"], told["used_monthly"], told["remaining"]) == ("10.00", "0.00", "10.00")
    assert (told["ceiling"], told["currency"], told["percent"], told["user_id"]) == (None, "USD", 0, "ann")
    assert (told["remaining_formatted"], told["used_formatted"]) == ("$10.00", "$0.00 of $10.00")
    start, end = (datetime.fromisoformat(told[name]) for name in ("period_start", "period_end"))
    assert (start.day, start.utcoffset(), end.day, 28 <= (end - start).days <= 31) == (1, end.utcoffset(), 1, True)


@pytest.mark.parametrize(
    ("value", "status", "limit"),
    [
        ("1", 200, None),
        ("1000.00", 200, None),
        ("0.99", 422, "1.00"),
        ("1000.01", 422, "1000.00"),
        ("-5", 422, "1.00"),
        ("0", 422, "1.00"),
        ("abc", 422, "1000.00"),
        ("1.0000001", 422, "1000.00"),
        ("NaN", 422, "1000.00"),
        ("", 422, "1000.00"),
        (25, 422, None),
        (None, 422, None),
    ],
)
def test_bounds_of_a_budget(acme: Organisation, value: object, status: int, limit: str | None) -> None:
    """S2-1: 1 to 1000 USD; unknown and negative values are refused, with the field and the limit."""
    for client, path in ((acme.ann, MINE), (acme.admin, "/api/v1/users/ann/budget")):
        answer = client.put(path, json={"monthly_budget": value})
        assert answer.status_code == status, answer.text
        if status != 200:
            told = answer.json()
            assert (told["code"], told["field"], told.get("limit")) == ("invalid_value", "monthly_budget", limit)


def test_a_change_shows_at_once(acme: Organisation) -> None:
    """S2-6: reads may be cached but a write must show at once; what is used stays."""
    acme.record({"cost": "0.08"})
    set_ = acme.ann.put(MINE, json={"monthly_budget": "25.50"}).json()
    assert (set_["monthly_budget"], set_["used_monthly"], set_["remaining"]) == ("25.50", "0.08", "25.42")
    assert {**acme.budget(), "position": ""} == {**set_, "position": ""}
    assert acme.admin.get("/api/v1/users/ann/budget").json()["used_formatted"] == "$0.08 of $25.50"


def test_a_ceiling_that_the_user_cannot_raise(acme: Organisation) -> None:
    """Contract: admins may set a ceiling; below it the user sets their own budget."""
    path = "/api/v1/users/ann/budget"
    told = acme.admin.put(path, json={"ceiling": "5"}).json()
    assert (told["monthly_budget"], told["ceiling"]) == ("5.00", "5.00")
    refused = acme.ann.put(MINE, json={"monthly_budget": "5.01"})
    assert (refused.status_code, refused.json()["code"]) == (409, "above_ceiling")
    assert (refused.json()["ceiling"], refused.json()["monthly"], refused.json()["currency"]) == ("5.00", "5.01", "USD")
    assert acme.ann.put(MINE, json={"monthly_budget": "4.99"}).status_code == 200
    assert acme.ann.put(MINE, json={"monthly_budget": "4", "ceiling": "9"}).json()["field"] == "ceiling"
    assert acme.ann.put(path, json={"ceiling": "9"}).status_code == 403
    assert acme.admin.put(path, json={}).status_code == 422
    assert acme.admin.put(path, json={"ceiling": None}).json()["ceiling"] is None
    assert acme.ann.put(MINE, json={"monthly_budget": "900"}).status_code == 200


def test_only_what_was_read_is_overwritten(acme: Organisation) -> None:
    tag = acme.ann.get(MINE).headers["etag"]
    for expected in (200, 412):
        answer = acme.ann.put(MINE, json={"monthly_budget": "7"}, headers={"If-Match": tag})
        assert answer.status_code == expected, answer.text


def test_may_this_cost_be_spent(acme: Organisation) -> None:
    """S2-3: can generate(expected cost) -> allowed, or not with a reason. Exactly enough passes."""
    path = "/api/v1/budgets/check"
    acme.record({"cost": "9.96"})
    exact = acme.ann.post(path, json={"expected_cost": "0.04"}).json()
    assert (exact["allowed"], exact["reason"], exact["remaining"], exact["message"]) == (True, "ok", "0.04", None)
    over = acme.worker.post(path, json={"expected_cost": "0.040001", "user_id": "ann"}).json()
    assert (over["allowed"], over["reason"], over["remaining"]) == (False, "budget_exceeded", "0.04")
    assert "$0.04 left" in over["message"]
    for body in ({"expected_cost": "-1"}, {"expected_cost": "abc"}, {"expected_cost": 1}, {}):
        answer = acme.ann.post(path, json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, "expected_cost")
    assert acme.worker.post(path, json={"expected_cost": "1"}).json()["field"] == "user_id"
    assert acme.ann.post(path, json={"expected_cost": "1", "user_id": "bob"}).status_code == 403


def test_an_organisation_that_does_not_enforce_budgets(acme: Organisation) -> None:
    """Contract: setting `enforce` names what is checked; a shop that needs one system switches the others off."""
    others = tuple(each for each in Resource if each is not Resource.BUDGET)
    command = ConfigureOrganisation(enforce=others)
    acme.service.writer.submit([Submission(org=acme.org, command=command, actor="a", caller="a")]).result(20)
    told = acme.ann.post("/api/v1/budgets/check", json={"expected_cost": "500"}).json()
    assert (told["allowed"], told["reason"], told["enforced"], told["remaining"]) == (True, "ok", False, "10.00")


def test_costs_count_once_and_only_for_success(acme: Organisation) -> None:
    """S2-3: only a success is charged, with the actual cost; the same id twice counts once (contract)."""
    results = acme.record(
        {"id": "c1"}, {"id": "c2", "success": False, "cost": "5"}, {"id": "c1"}, {"id": "c1", "cost": "9"}
    )
    assert [each["status"] for each in results] == ["ok", "ok", "duplicate", "error"]
    assert results[0] == {"id": "c1", "status": "ok", "error": None}
    assert (results[3]["code"], "another cost" in results[3]["error"]) == ("cost_id_reused", True)
    assert acme.record({"id": "c1", "user_id": "bob"})[0]["code"] == "cost_id_reused"
    assert acme.record({"id": "c1"})[0]["code"] == "exists"
    assert acme.budget()["used_monthly"] == "0.04"


def test_one_failing_entry_does_not_stop_the_others(acme: Organisation) -> None:
    """S2-6: several users' costs in one batch."""
    entries: list[dict[str, Any]] = [
        {"id": "a", "cost": "-0.01"},
        {"id": "b", "user_id": "bob", "cost": "0.12"},
        {"id": "c", "cost": "abc"},
        {"id": "d", "generation_time_ms": -1},
        {"id": "e", "colour": "red"},
        {"id": "f", "success": "yes"},
        {"id": "g h"},
        {"id": "i"},
    ]
    results = acme.record(*entries)
    assert [(each["status"], each.get("field")) for each in results] == [
        ("error", "cost"),
        ("ok", None),
        ("error", "cost"),
        ("error", "generation_time_ms"),
        ("error", "colour"),
        ("error", "success"),
        ("error", "id"),
        ("ok", None),
    ]
    assert all(each["error"] and each["code"] for each in results if each["status"] == "error")
    assert [each["id"] for each in results] == [entry["id"] for entry in entries]
    assert acme.budget()["used_monthly"] == "0.04"
    assert acme.client("user", "bob").get(MINE).json()["used_monthly"] == "0.12"
    wrong: tuple[dict[str, Any], ...] = ({"entries": []}, {}, {"entries": [1]}, {"entries": [{}] * 1_001})
    for body in wrong:
        answer = acme.worker.post(COSTS, json=body)
        assert answer.status_code == 422, answer.text


def test_the_same_key_records_once(acme: Organisation) -> None:
    """Contract, "Idempotency": the first answer again; another request under the key is refused and does nothing."""
    body = {"entries": [cost(id="c1"), cost(id="c1")]}
    first, again = (acme.worker.post(COSTS, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert [each["status"] for each in again.json()["results"]] == ["ok", "duplicate"]
    more = {"entries": [cost(id=f"m{number}") for number in range(3)]}
    other = acme.worker.post(COSTS, json=more, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert acme.budget()["used_monthly"] == "0.04"


def test_the_list_of_costs(acme: Organisation) -> None:
    """S2-3: each attempt with prompt, size, quality, cost, success, image URL, time and error; free text encrypted."""
    canary = "a canary in a hat"
    acme.record(
        {"id": "old", "success": False, "error_message": "timed out", "cost": "0"},
        {
            "id": "new",
            "prompt": canary,
            "size": "1024x1024",
            "quality": "hd",
            "cost": "0.08",
            "image_url": "https://example.org/1.png",
            "generation_time_ms": 1234,
        },
        {"user_id": "bob"},
    )
    acme.service.project()
    page = acme.ann.get(MINE + "/costs", params={"limit": 1}).json()
    (new,) = page["items"]
    expected: dict[str, Any] = {
        "id": "new",
        "kind": "recorded",
        "user_id": "ann",
        "prompt": canary,
        "size": "1024x1024",
    }
    expected |= {"quality": "hd", "cost": "0.08", "currency": "USD", "success": True, "error_message": None}
    expected |= {"image_url": "https://example.org/1.png", "generation_time_ms": 1234}
    assert {name: new[name] for name in expected} == expected
    rest = acme.ann.get(MINE + "/costs", params={"cursor": page["next_cursor"]}).json()
    assert [(row["id"], row["error_message"], row["cost"]) for row in rest["items"]] == [("old", "timed out", "0.00")]
    assert rest["next_cursor"] is None
    seen = acme.worker.get(MINE + "/costs", params={"user_id": "bob"}).json()["items"]
    assert [row["user_id"] for row in seen] == ["bob"]
    with psycopg.connect(acme.service.database.owner_uri) as connection:
        stored = connection.execute("select 1 from events where position(%s in data) > 0", (canary.encode(),))
        assert stored.fetchone() is None


def test_analytics(acme: Organisation) -> None:
    """S2-5: total, generations, successful ones, average without a division by zero, cost by size and by quality."""
    path = MINE + "/analytics"
    none = acme.ann.get(path).json()
    assert (none["total_spent"], none["total_generations"], none["average_cost"]) == ("0.00", 0, "0.00")
    assert (none["cost_by_size"], none["cost_by_quality"], none["period"]) == ({}, {}, "month")
    acme.record(
        {"size": "1024x1024", "quality": "standard", "cost": "0.04"},
        {"size": "1024x1792", "quality": "hd", "cost": "0.12"},
        {"size": "1024x1792", "quality": "hd", "cost": "0.12", "success": False},
        {"cost": "0.05"},
    )
    acme.service.project()
    for period in ("week", "month", "year"):
        told = acme.ann.get(path, params={"period": period}).json()
        assert (told["total_spent"], told["total_generations"], told["successful_generations"]) == ("0.21", 4, 3)
        assert told["average_cost"] == "0.0525"
        assert told["cost_by_size"] == {"1024x1024": "0.04", "1024x1792": "0.12", "unknown": "0.05"}
        assert told["cost_by_quality"] == {"standard": "0.04", "hd": "0.12", "unknown": "0.05"}
    assert acme.ann.get(path, params={"period": "day"}).status_code == 422
    with psycopg.connect(acme.service.database.projector_uri, autocommit=True) as connection:
        connection.execute(
            "update read.costs set created_at = created_at - interval '10 days' where org = %s and usd = 50000",
            (acme.org,),
        )
    spent = [acme.ann.get(path, params={"period": each}).json()["total_spent"] for each in ("week", "month")]
    assert spent == ["0.16", "0.21"]


def test_alerts(acme: Organisation) -> None:
    """S2-5: 75 % warning, 90 % critical, with the percentage."""
    shown = []
    for spent in ("7.49", "0.01", "1.49", "0.01", "3"):
        acme.record({"cost": spent})
        alerts = acme.ann.get(MINE + "/alerts").json()["alerts"]
        shown.append([(alert["type"], alert["percentage"]) for alert in alerts])
    assert shown == [[], [("warning", 75)], [("warning", 89)], [("critical", 90)], [("critical", 120)]]
    assert "$12.00 of $10.00" in alerts[0]["message"]
    assert acme.budget()["remaining"] == "0.00"


def test_a_user_sees_only_their_own(acme: Organisation) -> None:
    """S2-7: a user sees and changes only their own budget and costs."""
    for path in (MINE, MINE + "/costs", MINE + "/analytics", MINE + "/alerts"):
        answer = acme.ann.get(path, params={"user_id": "bob"})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_own"), path
        assert acme.client("auditor", "a").get(path, params={"user_id": "ann"}).status_code == 200
    assert acme.ann.get("/api/v1/users/ann/budget").status_code == 200
    assert acme.ann.get("/api/v1/users/bob/budget").status_code == 403
    assert acme.ann.post(COSTS, json={"entries": [cost()]}).status_code == 403
    for client in (acme.ann, acme.worker, acme.client("auditor", "a")):
        assert client.put("/api/v1/users/ann/budget", json={"monthly_budget": "5"}).status_code == 403


def test_health(acme: Organisation) -> None:
    """S2-6: healthy (no issue), degraded (fewer than 3), unhealthy (3 or more), issues listed."""
    acme.service.project()
    assert acme.ann.get("/api/v1/budgets/health").json() == {"status": "healthy", "issues": []}


@pytest.mark.parametrize(("stopped", "status"), [(1, "degraded"), (3, "unhealthy")])
def test_health_with_stopped_read_models(
    acme: Organisation, monkeypatch: pytest.MonkeyPatch, stopped: int, status: str
) -> None:
    """S2-6: the issues are real ones, looked at when they are asked for."""
    monkeypatch.setattr("api.operator.health.LOOK_EVERY_S", -1)
    with psycopg.connect(acme.service.database.owner_uri, autocommit=True) as connection:
        for partition in range(stopped):
            stop = "insert into read_stops (partition, position, reason) values (%s, 5, 'unknown type')"
            connection.execute(stop, (partition,))
        told = acme.ann.get("/api/v1/budgets/health").json()
        connection.execute("delete from read_stops")
    assert (told["status"], len(told["issues"])) == (status, stopped)
    assert "stopped" in told["issues"][0]


def test_a_new_month_has_nothing_used(acme: Organisation) -> None:
    """S2-4: a new month starts a new period with nothing used. Last, for it moves the clock."""
    acme.record({"cost": "4"})
    before = acme.budget()
    move_clock(acme.service.database, "32 days")
    after = acme.budget()
    assert (after["used_monthly"], after["remaining"], after["monthly_budget"]) == ("0.00", "10.00", "10.00")
    assert after["period_start"] >= before["period_end"]
