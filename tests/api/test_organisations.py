"""Organisations over HTTP: settings with ETags, plans up and down, who may (S3)."""

import secrets
from typing import Any

import pytest

from tests.api.service import Service

PATH = "/api/v1/organisations"
S3 = {
    "starter": {"lead_generation": 0, "goal_generation": 0, "strategy_analysis": 0, "forecast": 0},
    "pro": {"lead_generation": 50, "goal_generation": 20, "strategy_analysis": 100, "forecast": 30},
    "enterprise": {"lead_generation": 500, "goal_generation": 200, "strategy_analysis": 1000, "forecast": 200},
}


def fresh() -> str:
    return f"o{secrets.token_hex(5)}"


def balances(service: Service, org: str) -> dict[str, int]:
    told = service.client(org=org).get(f"{PATH}/{org}").json()
    return {name: unit["balance"] for name, unit in told["tokens"].items() if name != "general"}


def choose(service: Service, org: str, plan: str, **body: str) -> dict[str, Any]:
    answer = service.client("admin").put(f"{PATH}/{org}/plan", json={"plan": plan, **body})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_an_organisation_exists_from_its_first_use_with_defaults(service: Service) -> None:
    org = fresh()
    told = service.client(org=org).get(f"{PATH}/{org}").json()
    assert (told["id"], told["plan"], told["time_zone"], told["over_actual"]) == (org, "starter", "UTC", "refuse")
    assert told["pay_from"] == ["user:{user}"]
    assert told["enforce"] == ["credits", "tokens", "storage", "groups", "budget", "plan", "running"]
    assert told["refresh_date"] is None
    assert balances(service, org) == S3["starter"]


@pytest.mark.parametrize("plan", ["pro", "enterprise"])
def test_s3_a_plan_grants_its_table_at_once(service: Service, plan: str) -> None:
    """S3-2, S3-3: pro 50/20/100/30, enterprise 500/200/1000/200, a 30-day cycle whose end everybody can see."""
    org = fresh()
    told = choose(service, org, plan)
    assert told["tokens"] == S3[plan]
    assert balances(service, org) == S3[plan]
    read = service.client(org=org).get(f"{PATH}/{org}").json()
    assert read["refresh_date"] == told["refresh_date"] is not None
    assert read["tokens"]["lead_generation"]["allocated"] == S3[plan]["lead_generation"]
    stats = service.client("user", "u", org=org).get("/api/v1/tokens/stats").json()
    assert stats["refresh_date"] == told["refresh_date"]


def test_s3_upgrade_and_downgrade(service: Service) -> None:
    """S3-6: up grants the difference at once, down takes nothing away, up again grants nothing twice."""
    org = fresh()
    first = choose(service, org, "pro")["refresh_date"]
    assert choose(service, org, "enterprise")["refresh_date"] == first
    assert balances(service, org) == S3["enterprise"]
    choose(service, org, "pro")
    assert balances(service, org) == S3["enterprise"]
    choose(service, org, "enterprise")
    assert balances(service, org) == S3["enterprise"]
    choose(service, org, "starter")
    assert service.client(org=org).get(f"{PATH}/{org}").json()["plan"] == "starter"


def test_s3_an_annual_plan_is_prepaid_for_twelve_cycles(service: Service) -> None:
    """S3-9."""
    org = fresh()
    told = choose(service, org, "pro", billing="annual")
    assert told["billing"] == "annual"
    assert told["paid_until"] > told["refresh_date"]
    refused = service.client("admin").put(f"{PATH}/{org}/plan", json={"plan": "starter", "billing": "annual"})
    assert (refused.status_code, refused.json()["field"]) == (422, "billing")
    unknown = service.client("admin").put(f"{PATH}/{org}/plan", json={"plan": "gold"})
    assert (unknown.status_code, unknown.json()["known"]) == (422, ["starter", "pro", "enterprise"])


def test_an_org_admin_changes_the_settings_of_the_own_organisation(service: Service) -> None:
    org = fresh()
    boss = service.client(org=org)
    read = boss.get(f"{PATH}/{org}")
    body: dict[str, Any] = {
        "time_zone": "Europe/Berlin",
        "pay_from": ["user:{user}", "org:{org}"],
        "over_actual": "available",
    }
    body |= {"enforce": ["credits"], "settlement_policy": {"input_blocked": 30}}
    changed = boss.patch(f"{PATH}/{org}", json=body, headers={"If-Match": read.headers["etag"]})
    assert changed.status_code == 200, changed.text
    told = boss.get(f"{PATH}/{org}").json()
    assert told["settlement_policy"]["input_blocked"] == 30
    assert {name: told[name] for name in body if name != "settlement_policy"} == {
        name: value for name, value in body.items() if name != "settlement_policy"
    }
    stale = boss.patch(f"{PATH}/{org}", json={"time_zone": "UTC"}, headers={"If-Match": read.headers["etag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
    assert boss.patch(f"{PATH}/{org}", json={}, headers={"If-Match": "7"}).status_code == 422
    assert boss.get(f"{PATH}/{org}").json()["time_zone"] == "Europe/Berlin"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"pay_from": []}, "pay_from"),
        ({"pay_from": ["user:ann"]}, "pay_from"),
        ({"enforce": ["luck"]}, "enforce"),
        ({"over_actual": "always"}, "over_actual"),
        ({"settlement_policy": {"other": 101}}, "settlement_policy.other"),
        ({"plan": "pro"}, "plan"),
    ],
)
def test_a_setting_that_cannot_be_right_is_named(service: Service, body: dict[str, Any], field: str) -> None:
    answer = service.client().patch(f"{PATH}/acme", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


def test_who_may(service: Service) -> None:
    """The contract's table: plans and other organisations are the platform's."""
    for role in ("user", "worker", "org_admin", "auditor"):
        client = service.client(role)
        assert client.put(f"{PATH}/acme/plan", json={"plan": "pro"}).status_code == 403
        assert client.post(PATH, json={"id": "x"}).status_code == 403
        assert client.get(f"{PATH}/globex").status_code == 403
        assert client.patch(f"{PATH}/globex", json={"time_zone": "UTC"}).status_code == 403
    assert service.client("auditor").patch(f"{PATH}/acme", json={}).status_code == 403
    assert service.client().get(PATH).status_code == 403
    assert service.client("auditor").get(f"{PATH}/acme").status_code == 200
    assert service.client(None).get(f"{PATH}/acme").status_code == 401


def test_an_admin_sets_an_organisation_up_once(service: Service) -> None:
    org, admin = fresh(), service.client("admin", "root", org="platform")
    body = {"id": org, "time_zone": "Asia/Tokyo", "plan": "pro"}
    made = admin.post(PATH, json=body, headers={"Idempotency-Key": org})
    assert made.status_code == 201, made.text
    assert (made.json()["id"], made.json()["time_zone"], made.json()["plan"]) == (org, "Asia/Tokyo", "pro")
    again = admin.post(PATH, json=body, headers={"Idempotency-Key": org})
    assert (again.status_code, again.json()) == (201, made.json())
    assert again.headers["idempotency-replayed"] == "true"
    taken = admin.post(PATH, json=body)
    assert (taken.status_code, taken.json()["code"]) == (409, "exists")
    assert balances(service, org) == S3["pro"]


def test_admins_list_all_organisations_and_auditors_their_own(service: Service) -> None:
    orgs = sorted(fresh() for _ in range(3))
    for org in orgs:
        choose(service, org, "pro")
    service.project()
    admin = service.client("admin")
    page = admin.get(PATH, params={"prefix": "o", "limit": 2}).json()
    listed = [row["id"] for row in page["items"]]
    while page["next_cursor"]:
        page = admin.get(PATH, params={"prefix": "o", "limit": 2, "cursor": page["next_cursor"]}).json()
        listed += [row["id"] for row in page["items"]]
    assert set(orgs) <= set(listed)
    assert listed == sorted(set(listed))
    own = service.client("auditor", org=orgs[0]).get(PATH).json()["items"]
    assert [row["id"] for row in own] == [orgs[0]]
