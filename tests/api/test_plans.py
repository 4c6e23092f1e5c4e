"""Plans, features and packages over HTTP: read by all, published by the platform's admins, in versions (S3)."""

from typing import Any

import pytest

from tests.api.service import Service

COSTS = {"lead_generation": 5, "goal_generation": 3, "strategy_analysis": 2, "forecast": 4, "general": 1}
NEVER_PUBLISHED = '"0"'


def features(service: Service) -> dict[str, Any]:
    told: dict[str, Any] = service.client("admin").get("/api/v1/features").json()
    return told


def test_s3_the_plans_of_the_page(service: Service) -> None:
    """S3-2: starter 0 of everything; pro and enterprise as in the table."""
    plans = {plan["id"]: plan for plan in service.client("user", "u").get("/api/v1/plans").json()["items"]}
    assert {name: list(plan["tokens"].values()) for name, plan in plans.items() if name != "team"} == {
        "starter": [0, 0, 0, 0],
        "pro": [50, 20, 100, 30],
        "enterprise": [500, 200, 1000, 200],
    }
    assert plans["starter"]["price"] is None
    assert plans["pro"]["annual_percent_off"] > 0


def test_s3_the_costs_of_the_page(service: Service) -> None:
    """S3-1: what one use of each token type costs."""
    told = service.client("user", "u").get("/api/v1/features")
    assert {name: told.json()["token_costs"][name] for name in COSTS} == COSTS


def test_a_plan_is_published_in_versions(service: Service) -> None:
    """S3-2: plans are configurable."""
    admin = service.client("admin")
    terms = {"name": "Team", "tokens": {"forecast": 7}, "credits": 100, "storage_limit": 5_000_000}
    terms |= {"price": {"amount": "9.50", "currency": "EUR"}, "annual_percent_off": 10}
    first = admin.put("/api/v1/plans/team", json=terms, headers={"If-Match": NEVER_PUBLISHED})
    assert (first.status_code, first.json()["version"]) == (200, 1), first.text
    stale = admin.put("/api/v1/plans/team", json=terms, headers={"If-Match": NEVER_PUBLISHED})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
    (told,) = [plan for plan in admin.get("/api/v1/plans").json()["items"] if plan["id"] == "team"]
    assert told == {"id": "team", "version": 1, **terms, "user_running_limit": None}
    wrong = admin.put("/api/v1/plans/team", json={"name": "T", "tokens": {"luck": 1}})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "tokens.luck")


def test_features_are_published_as_a_whole(service: Service) -> None:
    """S3-9: features, complex operations that cost more, bulk discounts."""
    admin, before = service.client("admin"), features(service)
    new = {
        "name": "scan",
        "token_type": "forecast",
        "cost": 4,
        "complexity": {"complex": 250},
        "bulk": [{"count": 10, "percent_off": 20}],
    }
    body = {"features": [*before["features"], new], "token_costs": before["token_costs"]}
    tag = f'"{before["version"]}"'
    answer = admin.put("/api/v1/features", json=body, headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["version"]) == (200, before["version"] + 1), answer.text
    assert features(service)["features"][-1] == new
    assert admin.put("/api/v1/features", json=body, headers={"If-Match": tag}).status_code == 412
    body["features"][-1] = new | {"token_type": "luck"}
    wrong = admin.put("/api/v1/features", json=body)
    assert (wrong.status_code, wrong.json()["field"].endswith("token_type")) == (422, True)


def test_packages_are_published_as_a_whole(service: Service) -> None:
    """S3-9, S4-5: packages of tokens and of credits."""
    admin = service.client("admin")
    read = service.client("user", "u").get("/api/v1/packages")
    packages = read.json()["items"]
    assert {package["id"] for package in packages} >= {"credits_1000", "leads_50"}
    price = {"amount": "1.00", "currency": "USD"}
    small = {"id": "mini", "name": "Mini", "unit": "credits", "amount": 10, "price": price, "expires_after_days": 30}
    body = {"packages": [*packages, small]}
    tag = read.headers["etag"]
    assert admin.put("/api/v1/packages", json=body, headers={"If-Match": tag}).status_code == 200
    assert admin.put("/api/v1/packages", json=body, headers={"If-Match": tag}).status_code == 412
    assert admin.get("/api/v1/packages").json()["items"][-1] == small
    free = {"packages": [{**small, "price": {**price, "amount": "0.00"}}]}
    assert admin.put("/api/v1/packages", json=free).status_code == 422


@pytest.mark.parametrize("path", ["plans/pro", "features", "packages"])
@pytest.mark.parametrize("role", ["user", "worker", "org_admin", "auditor"])
def test_only_admins_publish(service: Service, path: str, role: str) -> None:
    bodies: dict[str, Any] = {
        "plans/pro": {"name": "x"},
        "features": {"features": [], "token_costs": {}},
        "packages": {"packages": []},
    }
    body = bodies[path]
    assert service.client(role).put(f"/api/v1/{path}", json=body).status_code == 403
    assert service.client(None).put(f"/api/v1/{path}", json=body).status_code == 401
