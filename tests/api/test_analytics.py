"""Analytics, forecasts and organisations at risk, over HTTP (S0, S2, S3, S4)."""

import csv
import io
import secrets
from typing import Any

import psycopg
import pytest

from tests.api.generating import ok
from tests.api.service import Service
from tests.conftest import move_clock

ANALYTICS = "/api/v1/analytics"
ORG = f"an{secrets.token_hex(4)}"
VIDEO = {"operation": "video", "model": "MiniMax-Hailuo-02", "options": {"resolution": "512P", "duration": 6}}
IMAGE = {"operation": "image", "options": {"size": "1024x1024", "quality": "hd"}}


@pytest.fixture(scope="module")
def used(service: Service) -> Service:
    """Two days: videos and a priced image on the first, a refusal on the second."""
    boss, worker = service.client(org=ORG), service.client("worker", org=ORG)
    for unit in ("credits", "tokens", "vouchers"):
        boss.post(f"/api/v1/accounts/user:ann:{unit}/grants", json={"amount": 1_000, "source": "gift"})
    boss.post("/api/groups", json={"id": "films", "name": "Films"})
    boss.post("/api/group-members", json={"group_id": "films", "user_ids": ["ann"]})

    ok(service.client("admin").put(f"/api/v1/organisations/{ORG}/plan", json={"plan": "pro"}))
    ok(
        worker.post(
            "/api/v1/tokens/check-balance", json={"action": "deduct", "feature": "generate_goal", "user_id": "ann"}
        )
    )

    def made(body: dict[str, Any], **end: Any) -> None:
        id_ = worker.post("/api/v1/generations", json={"user_id": "ann", **body}).json()["generation_id"]
        ended = worker.post(f"/api/v1/generations/{id_}/{'fail' if 'outcome' in end else 'confirm'}", json=end)
        assert ended.status_code == 200, ended.text

    made(VIDEO, provider_cost={"amount": "0.25", "currency": "USD"})
    made(VIDEO)
    made(VIDEO, outcome="provider_error")
    made(IMAGE, provider_cost={"amount": "0.03", "currency": "USD"})
    made(IMAGE, provider_cost={"amount": "5.00", "currency": "EUR"})
    move_clock(service.database, "1 day")
    poor = worker.post("/api/v1/generations", json={"user_id": "poor", **VIDEO})
    assert poor.status_code == 402
    with psycopg.connect(service.database.owner_uri) as connection:
        connection.execute(
            "insert into refused_checks (org, id, at, user_id, operation, model, reason, deficit, actor) values"
            " (%s, 'c1', scrip_now(), 'poor', 'video', 'MiniMax-Hailuo-02', 'insufficient_credits', 1, 'x')",
            (ORG,),
        )
    service.project()
    return service


def figures(service: Service, metric: str, group_by: str, **query: str) -> dict[str, Any]:
    asked = {"metric": metric, "group_by": group_by, **query}
    answer = service.client("auditor", org=ORG).get(ANALYTICS, params=asked)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def by_key(told: dict[str, Any]) -> dict[Any, Any]:
    return {item["key"]: item["value"] for item in told["items"]}


@pytest.mark.parametrize(
    ("metric", "group_by", "expected"),
    [
        ("generations", "operation", {"video": 3, "image": 2}),
        ("generations", "outcome", {"completed": 4, "failed": 1}),
        ("generations", "reason", {None: 4, "provider_error": 1}),
        ("succeeded", "model", {"MiniMax-Hailuo-02": 2, None: 2}),
        ("credits", "user", {"ann": 640}),
        ("credits", "group", {"films": 640}),
        ("usd", "size", {"1024x1024": "0.16"}),
        ("usd", "quality", {"hd": "0.16"}),
        ("provider_cost", "operation", {"video": "0.25", "image": "0.03"}),
        ("margin", "operation", {"image": "0.13", "video": "-0.25"}),
        ("refusals", "reason", {"insufficient_credits": 2}),
        ("plan_tokens", "feature", {"generate_goal": 3}),
        ("plan_tokens", "none", {None: 3}),
        ("plan_tokens", "user", {"ann": 3}),
        ("credits", "none", {None: 640}),
        ("refusals", "operation", {"video": 2}),
        ("refusals", "model", {"MiniMax-Hailuo-02": 2}),
    ],
)
def test_what_was_used_by_what_it_was(used: Service, metric: str, group_by: str, expected: dict[Any, Any]) -> None:
    """S0-10: blocked attempts by reason; S2-5: cost by size and quality; S4-5: usage analytics."""
    assert by_key(figures(used, metric, group_by, bucket="month")) == expected


def test_buckets_and_bounds(used: Service) -> None:
    """S1-6."""
    days = figures(used, "refusals", "outcome")
    assert (days["total"], days["checks"]) == (2, 1)
    assert len({item["bucket"] for item in days["items"]}) == 1
    (refused_on,) = {item["bucket"] for item in days["items"]}
    assert figures(used, "generations", "model", to=f"{refused_on}T00:00:00Z")["total"] == 5
    assert figures(used, "generations", "model", **{"from": f"{refused_on}T00:00:00Z"})["total"] == 0
    client = used.client(org=ORG)
    assert client.get(ANALYTICS, params={"from": "2020-01-01T00:00:00Z"}).status_code == 422
    assert client.get(ANALYTICS, params={"metric": "luck"}).status_code == 422
    there = used.client(org="globex").get(ANALYTICS, params={"metric": "credits"}).json()
    assert (there["items"], there["total"]) == ([], 0)


def test_other_currencies_are_named_and_never_added(used: Service) -> None:
    """S4-5: 5 EUR are no part of a margin in USD, and the answer says so."""
    for metric in ("margin", "provider_cost"):
        told = figures(used, metric, "operation", bucket="month")
        assert (told["currency"], told["other_currencies"]) == ("USD", {"EUR": "5.00"})
        assert {item["key"]: item.get("other_currencies") for item in told["items"]} == {
            "image": {"EUR": "5.00"},
            "video": None,
        }
    euros = figures(used, "provider_cost", "operation", bucket="month", currency="EUR")
    assert (euros["currency"], euros["total"], euros["other_currencies"]) == ("EUR", "5.00", {"USD": "0.28"})
    asked = {"metric": "margin", "currency": "EUR"}
    assert used.client(org=ORG).get(ANALYTICS, params=asked).json()["field"] == "currency"


def table(service: Service, path: str, **query: str) -> list[list[str]]:
    answer = service.client("auditor", org=ORG).get(path, params={"format": "csv", **query})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8"), answer.text
    assert "attachment" in answer.headers["content-disposition"]
    for_excel = service.client("auditor", org=ORG).get(path, params={"format": "csv", "bom": True, **query})
    assert for_excel.content == b"\xef\xbb\xbf" + answer.content
    return list(csv.reader(io.StringIO(answer.text)))


def test_figures_as_a_table(used: Service) -> None:
    header, *rows = table(used, ANALYTICS, metric="margin", group_by="operation", bucket="month")
    assert header == ["month", "operation", "margin_usd", "provider_cost_eur"]  # what it leaves out
    assert sorted(row[1:] for row in rows) == [["image", "0.13", "5.00"], ["video", "-0.25", ""]]
    header, *rows = table(used, ANALYTICS, metric="credits", group_by="none", bucket="month")
    assert (header, [row[1:] for row in rows]) == (["month", "credits"], [["640"]])


def test_what_each_user_used(used: Service) -> None:
    """S1-5: export of usage reports."""
    page = ok(used.client(org=ORG).get(f"{ANALYTICS}/users", params={"limit": 1}))
    rest = ok(used.client(org=ORG).get(f"{ANALYTICS}/users", params={"cursor": page["next_cursor"]}))
    ann, poor = page["items"] + rest["items"]
    assert (ann["user_id"], ann["generations"], ann["succeeded"], ann["failed"], ann["refused"]) == ("ann", 5, 4, 1, 0)
    assert (ann["credits"], ann["tokens"], ann["plan_tokens"], ann["usd"]) == (640, 200, 3, "0.16")
    assert (poor["user_id"], poor["generations"], poor["refused"], poor["usd"]) == ("poor", 0, 1, "0.00")
    header, *rows = table(used, f"{ANALYTICS}/users")
    assert header[:3] == ["user_id", "generations", "succeeded"]
    assert [row[0] for row in rows] == ["ann", "poor"]
    assert dict(zip(header, rows[0], strict=True))["usd"] == "0.16"
    assert ok(used.client(org="globex").get(f"{ANALYTICS}/users"))["items"] == []
    assert table(used, f"{ANALYTICS}/users", to="2020-01-01T00:00:00Z", **{"from": "2019-12-01T00:00:00Z"}) == [header]


def test_who_may(service: Service) -> None:
    for path in (ANALYTICS, "/api/v1/forecasts", "/api/v1/organisations/at-risk"):
        assert service.client(None).get(path).status_code == 401
        for role in ("user", "worker"):
            assert service.client(role).get(path).status_code == 403
        assert service.client("auditor").get(path).status_code == 200
    assert service.client().get("/api/v1/organisations/at-risk").status_code == 403


def test_s3_the_day_an_account_runs_out(used: Service) -> None:
    """S3-8, S3-9: forecast of the day it runs out, with its method named; null for what is not used."""
    page = used.client("auditor", org=ORG).get("/api/v1/forecasts", params={"prefix": "user:ann:"}).json()
    assert page["method"] == "mean of the last 14 days"
    spent, tokens, vouchers = page["items"]
    assert (spent["address"], spent["balance"], spent["used_in_window"]) == ("user:ann:credits", 360, 640)
    assert spent["per_day"] == "45.71"
    # 360 at 640 in 14 days last for 7 days and 21 hours.
    assert (spent["runs_out_at"] > page["as_of"], spent["runs_out_on"]) == (True, spent["runs_out_at"][:10])
    assert (tokens["balance"], tokens["used_in_window"]) == (800, 200)  # two images, by S0's estimate
    assert (vouchers["used_in_window"], vouchers["runs_out_at"]) == (0, None)


def test_s3_organisations_at_risk(service: Service) -> None:
    """S3-8: over 80 % of the cycle's allowance used, or used up before the refresh date; admins see all."""
    risky, fine = f"ar{secrets.token_hex(4)}", f"ar{secrets.token_hex(4)}"
    for org, quantity in ((risky, 9), (fine, 1)):
        service.client("admin").put(f"/api/v1/organisations/{org}/plan", json={"plan": "pro"})
        body = {"action": "deduct", "token_type": "lead_generation", "quantity": quantity}
        assert service.client("worker", org=org).post("/api/v1/tokens/check-balance", json=body).json()["allowed"]
    service.project()
    found = service.client("admin").get("/api/v1/organisations/at-risk", params={"limit": 200}).json()["items"]
    mine = [row for row in found if row["organisation"] in {risky, fine}]
    assert [(row["organisation"], row["token_type"], row["used"], row["percent"]) for row in mine] == [
        (risky, "lead_generation", 45, 90)
    ]
    assert mine[0]["forecast"]["before_refresh"] is True
    assert service.client("auditor", org=fine).get("/api/v1/organisations/at-risk").json()["items"] == []
    own = service.client("auditor", org=risky).get("/api/v1/organisations/at-risk").json()["items"]
    assert [row["organisation"] for row in own] == [risky]
