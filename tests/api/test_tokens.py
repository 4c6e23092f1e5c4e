"""Plan tokens over HTTP: check and deduct, stats, the usage log, quotas of groups (S3)."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.app import publishing
from tests.api.service import Service

CHECK = "/api/v1/tokens/check-balance"
COSTS = {"lead_generation": 5, "goal_generation": 3, "strategy_analysis": 2, "forecast": 4}


def fresh(service: Service, plan: str | None = "pro") -> str:
    org = f"t{secrets.token_hex(5)}"
    if plan is not None:
        answer = service.client("admin").put(f"/api/v1/organisations/{org}/plan", json={"plan": plan})
        assert answer.status_code == 200, answer.text
    return org


def use(service: Service, org: str, action: str = "deduct", key: str | None = None, **body: Any) -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = service.client("worker", org=org).post(CHECK, json={"action": action, **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.parametrize("token_type", sorted(COSTS))
def test_s3_starter_is_blocked_and_pro_passes(service: Service, token_type: str) -> None:
    """S3-1: starter 0 of everything (blocked); each type has its cost."""
    for action in ("check", "deduct"):
        blocked = use(service, fresh(service, None), action, token_type=token_type)
        assert (blocked["allowed"], blocked["reason"], blocked["cost"]) == (False, "plan_blocked", COSTS[token_type])
        assert (blocked["balance"], blocked["plan"]) == (0, "starter")
    passes = use(service, fresh(service), "check", token_type=token_type)
    assert (passes["allowed"], passes["reason"], passes["cost"]) == (True, "ok", COSTS[token_type])
    assert passes["refresh_date"] is not None


def test_s0_a_refused_check_is_told_as_a_blocked_attempt(service: Service) -> None:
    """S0-10: how often people are blocked is monitored: what is told is in the form of `scrip.decisions`."""
    noted: list[tuple[Any, ...]] = []

    class Checks:
        def refused_check(self, *told: Any) -> None:
            noted.append(told)

    before = service.services.on_refused_check
    service.services.on_refused_check = publishing(Checks())  # type: ignore[arg-type]
    try:
        org = fresh(service)
        use(service, org, "check", feature="generate_leads", quantity=11, user_id="ann")
    finally:
        service.services.on_refused_check = before
    ((told_org, user, operation, model, reason, deficit, actor, at),) = noted
    assert (told_org, user, operation, model, reason) == (org, "ann", "generate_leads", None, "insufficient_tokens")
    assert (deficit, actor) == (5, "worker:boss")
    assert at is not None


def test_s3_check_takes_nothing_and_deduct_does(service: Service) -> None:
    """S3-6."""
    org = fresh(service)
    for _ in range(2):
        assert use(service, org, "check", token_type="lead_generation")["balance"] == 50
    told = use(service, org, token_type="lead_generation", user_id="ann", metadata={"lead": 7})
    assert (told["allowed"], told["cost"], told["balance"]) == (True, 5, 45)
    assert use(service, org, "check", token_type="lead_generation")["balance"] == 45


def test_s3_exactly_enough_passes_and_one_more_does_not(service: Service) -> None:
    """S3-6: deduct is atomic and never below zero."""
    org = fresh(service)
    assert use(service, org, token_type="goal_generation", quantity=6)["balance"] == 2
    for action in ("check", "deduct"):
        short = use(service, org, action, token_type="goal_generation")
        assert (short["allowed"], short["reason"]) == (False, "insufficient_tokens")
        assert (short["cost"], short["balance"], short["deficit"]) == (3, 2, 1)
        assert "1 are missing" in short["detail"]
    assert use(service, org, "check", token_type="lead_generation", quantity=10)["allowed"] is True
    assert use(service, org, "check", token_type="lead_generation", quantity=11)["allowed"] is False


def test_s3_a_race_of_deductions_never_goes_below_zero(service: Service) -> None:
    """S3-6: 50 tokens are ten uses of 5, however many ask at once."""
    org = fresh(service)
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(lambda _: use(service, org, token_type="lead_generation")["allowed"], range(24)))
    assert told.count(True) == 10
    assert use(service, org, "check", token_type="lead_generation")["balance"] == 0


def test_a_key_deducts_once_and_gets_the_first_answer_again(service: Service) -> None:
    org = fresh(service)
    first = use(service, org, key="k1", token_type="forecast")
    use(service, org, token_type="forecast")
    service.project()
    assert use(service, org, key="k1", token_type="forecast") == first
    assert use(service, org, "check", token_type="forecast")["balance"] == 22
    answer = service.client("worker", org=org).post(
        CHECK, json={"action": "deduct", "token_type": "general"}, headers={"Idempotency-Key": "k1"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_a_refusal_is_kept_under_its_key(service: Service) -> None:
    org = fresh(service, None)
    first = use(service, org, key="k2", token_type="forecast")
    service.client("admin").put(f"/api/v1/organisations/{org}/plan", json={"plan": "pro"})
    assert use(service, org, key="k2", token_type="forecast") == first
    assert use(service, org, key="k3", token_type="forecast")["allowed"] is True


def test_s3_dynamic_costs_and_bulk_discounts(service: Service) -> None:
    """S3-9: complex operations cost more, many at once cost less, rounded up."""
    admin = service.client("admin")
    before = admin.get("/api/v1/features").json()
    new = {"name": "deep_scan", "token_type": "strategy_analysis", "cost": 3}
    new |= {"complexity": {"complex": 150}, "bulk": [{"count": 10, "percent_off": 20}]}
    body = {"features": [*before["features"], new], "token_costs": before["token_costs"]}
    assert admin.put("/api/v1/features", json=body).status_code == 200
    org = fresh(service)

    def cost(**more: Any) -> int:
        told: int = use(service, org, "check", feature="deep_scan", **more)["cost"]
        return told

    assert (cost(), cost(complexity="complex"), cost(quantity=9), cost(quantity=10)) == (3, 5, 27, 24)
    # With both, the feature is only a label.
    assert use(service, org, "check", feature="deep_scan", token_type="strategy_analysis")["cost"] == 2
    for wrong in ({"feature": "nothing"}, {"token_type": "luck"}, {"feature": "deep_scan", "complexity": "mad"}):
        answer = service.client("worker", org=org).post(CHECK, json={"action": "check", **wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_token_use")
        assert answer.json()["known"]


def test_s3_team_quotas_hold_on_deductions(service: Service) -> None:
    """S3-9: sub-limits per department."""
    org = fresh(service)
    boss = service.client(org=org)
    made = boss.post("/api/groups", json={"id": "sales", "name": "Sales", "token_quotas": {"lead_generation": 10}})
    assert made.status_code == 201, made.text
    boss.post("/api/group-members", json={"group_id": "sales", "user_ids": ["ann"]})
    for _ in range(2):
        assert use(service, org, token_type="lead_generation", user_id="ann")["allowed"] is True
    for action in ("check", "deduct"):
        full = use(service, org, action, token_type="lead_generation", user_id="ann")
        assert (full["allowed"], full["reason"], full["group_id"]) == (False, "group_limit", "sales")
        assert (full["cost"], full["balance"]) == (5, 40)
    assert use(service, org, token_type="lead_generation", user_id="bob")["allowed"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"action": "deduct"},
        {"action": "take", "token_type": "general"},
        {"action": "deduct", "token_type": "general", "quantity": 0},
        {"action": "deduct", "token_type": "general", "quantity": -1},
        {"action": "deduct", "token_type": "general", "quantity": 1.0},
        {"action": "deduct", "token_type": "general", "cost": 0},
    ],
)
def test_what_cannot_be_right(service: Service, body: dict[str, Any]) -> None:
    assert service.client().post(CHECK, json=body).status_code == 422


def test_s3_who_may(service: Service) -> None:
    """S3-6: 401 without a login, 403 for another organisation's data; users act for themselves."""
    body = {"action": "check", "token_type": "general"}
    assert service.client(None).post(CHECK, json=body).status_code == 401
    assert service.client(None).get("/api/v1/tokens/stats").status_code == 401
    assert service.client("auditor").post(CHECK, json=body).status_code == 403
    user = service.client("user", "ann")
    assert user.post(CHECK, json=body).status_code == 200
    assert user.post(CHECK, json={**body, "user_id": "bob"}).status_code == 403
    assert user.get("/api/v1/tokens/usage-log", params={"user_id": "bob"}).status_code == 403
    for name in ("org", "organisation"):
        answer = user.post(CHECK, json={**body, name: "globex"})
        assert (answer.status_code, answer.json()["code"]) == (403, "other_organisation")
        assert user.get("/api/v1/tokens/stats", params={name: "globex"}).status_code == 403
    assert user.post(CHECK, json={**body, "organisation_id": "globex"}).status_code == 403
    assert user.get("/api/v1/tokens/stats", params={"organisation_id": "globex"}).status_code == 403


def test_s3_stats_right_after_a_deduct_are_of_one_moment(service: Service) -> None:
    """S3-9: what is left and what was used add up, however far behind the read models are."""
    org = fresh(service)
    worker = service.client("worker", org=org)
    for _ in range(2):
        body = {"action": "deduct", "token_type": "lead_generation", "user_id": "ann"}
        assert worker.post("/api/v1/tokens/check-balance", json=body).json()["allowed"]
    stats = worker.get("/api/v1/tokens/stats").json()
    told = stats["tokens"]["lead_generation"]
    assert told["total_used"] == told["total_allocated"] - told["balance"] > 0
    assert (told["forecast"]["used_in_window"], told["last_used_at"] is not None) == (told["total_used"], True)
    assert stats["monitoring"]["by_type"] == {"lead_generation": told["total_used"]}
    service.project()
    assert worker.get("/api/v1/tokens/stats").json()["tokens"]["lead_generation"] | {"forecast": 0} == told | {
        "forecast": 0
    }


def test_s3_stats_and_the_usage_log(service: Service) -> None:
    """S3-4, S3-5, S3-7, S3-8: balance, allocated, used, refresh date, last used; features, users, forecast."""
    org = fresh(service)
    for user, feature in (("ann", "generate_leads"), ("ann", "generate_leads"), ("bob", "generate_goal")):
        use(service, org, feature=feature, user_id=user, metadata={"note": user})
    use(service, org, token_type="lead_generation", quantity=6)
    service.project()
    told = service.client("worker", org=org).get("/api/v1/tokens/stats").json()
    leads = told["tokens"]["lead_generation"]
    assert (leads["balance"], leads["total_allocated"], leads["total_used"]) == (10, 50, 40)
    assert (leads["status"], leads["used_percent"]) == ("low", 80)
    assert leads["last_used_at"] is not None
    assert leads["forecast"]["runs_out_at"] is not None
    assert leads["forecast"]["method"] == "mean of the last 14 days"
    assert told["tokens"]["forecast"]["status"] == "ok"
    assert told["tokens"]["forecast"]["forecast"]["runs_out_at"] is None
    assert told["tokens"]["general"]["status"] == "blocked"
    monitoring = told["monitoring"]
    assert monitoring["tokens_this_month"] == 43
    assert monitoring["by_type"] == {"goal_generation": 3, "lead_generation": 40}
    assert [row["feature"] for row in monitoring["top_features"]][:2] == ["lead_generation", "generate_leads"]
    assert {row["user_id"]: row["tokens"] for row in monitoring["use_per_user"]}["ann"] == 10
    assert monitoring["at_risk"] == ["lead_generation"]
    mine = service.client("user", "ann", org=org)
    assert mine.get("/api/v1/tokens/stats").json()["monitoring"] is None
    log = mine.get("/api/v1/tokens/usage-log", params={"limit": 1}).json()
    (row,) = log["items"]
    assert (row["organisation"], row["user_id"], row["token_type"]) == (org, "ann", "lead_generation")
    assert (row["tokens"], row["remaining"], row["feature"]) == (5, 40, "generate_leads")
    assert row["metadata"] == {"note": "ann"}
    rest = mine.get("/api/v1/tokens/usage-log", params={"cursor": log["next_cursor"]}).json()
    assert [(row["remaining"], row["user_id"]) for row in rest["items"]] == [(45, "ann")]
    everybody = service.client("auditor", org=org).get("/api/v1/tokens/usage-log").json()["items"]
    assert [row["tokens"] for row in everybody] == [30, 3, 5, 5]


def test_s3_a_starter_is_offered_an_upgrade(service: Service) -> None:
    """S3-7."""
    told = service.client("user", "u", org=fresh(service, None)).get("/api/v1/tokens/stats").json()
    assert told["upgrade"]["href"] == "/settings/subscription"
    assert {each["status"] for each in told["tokens"].values()} == {"blocked"}
