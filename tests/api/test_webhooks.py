"""Alerts, their rules and webhooks over HTTP: listed, changed, delivered again; by administrators alone."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from infra.alerts import RULES, Crossing, raise_alerts
from tests.api.service import Service

PATH = "/api/v1/webhooks"
URL = "https://hooks.example.com/scrip"


def crossed(service: Service, org: str, *keys: str, **changed: Any) -> None:
    """Raise alerts as the notifier does."""

    async def whole() -> None:
        uri = service.database.writer_uri
        async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as connection:
            for key in keys:
                terms: dict[str, Any] = {"rule": "budget", "severity": "warning", "user_id": "u1", **changed}
                crossing = Crossing(
                    org=org, key=key, subject="budget/u1", message="75 % is used.", facts={"used": 3}, **terms
                )
                await raise_alerts(connection, [crossing])

    asyncio.run(whole())


def ok(response: httpx.Response, status: int = 200) -> Any:
    """The body of an answer with this status."""
    assert response.status_code == status, response.text
    return response.json() if response.content else None


def test_alerts_are_listed_newest_first_and_filtered(service: Service) -> None:
    client = service.client("auditor", org="listing")
    crossed(service, "listing", "k1", "k2", "k2")
    crossed(service, "listing", "k3", rule="credits_low", user_id=None)
    crossed(service, "listing", "k4", severity="critical")
    crossed(service, "somebody-else", "k5")
    first = ok(client.get("/api/v1/alerts", params={"limit": 3}))
    rest = ok(client.get("/api/v1/alerts", params={"limit": 3, "cursor": first["next_cursor"]}))
    assert [row["severity"] for row in first["items"]] == ["critical", "warning", "warning"]
    assert [row["type"] for row in first["items"]][1] == "scrip.credits.low"
    assert (len(rest["items"]), rest["next_cursor"]) == (1, None)
    assert first["items"][0]["facts"] == {"used": 3}
    for filters, count in (
        ({"rule": "credits_low"}, 1),
        ({"type": "scrip.budget.threshold"}, 3),
        ({"severity": "critical"}, 1),
        ({"user_id": "u1"}, 3),
        ({"to": "2020-01-01T00:00:00Z"}, 0),
    ):
        assert len(ok(client.get("/api/v1/alerts", params=filters))["items"]) == count, filters


def test_a_user_reads_alerts_about_their_own_money_and_work_alone(service: Service) -> None:
    """The organisation's list stays with its administrators and auditors."""
    org = "own-alerts"
    crossed(service, org, "k1", "k2", rule="credits_low")
    crossed(service, org, "k3", user_id="u2")
    crossed(service, org, "k4", rule="rapid_requests")  # who is watched need not know
    crossed(service, org, "k5", user_id=None, rule="credits_low")
    crossed(service, "another", "k6")
    mine = service.client("user", "u1", org)
    first = ok(mine.get("/api/v1/alerts/me", params={"limit": 1}))
    rest = ok(mine.get("/api/v1/alerts/me", params={"cursor": first["next_cursor"]}))
    listed = first["items"] + rest["items"]
    assert [(row["rule"], row["user_id"]) for row in listed] == [("credits_low", "u1")] * 2
    assert listed[0]["id"] > listed[1]["id"]
    assert mine.get("/api/v1/alerts").status_code == 403
    assert ok(service.client("user", "u3", org).get("/api/v1/alerts/me"))["items"] == []


def test_alert_rules_are_read_and_set(service: Service) -> None:
    client = service.client(org="ruling")
    before = ok(client.get("/api/v1/alert-rules"))["rules"]
    assert before.keys() == RULES.keys()
    assert before["budget"]["thresholds"] == before["budget"]["defaults"] == {"warning": 75, "critical": 90}
    wanted = {"budget": {"warning": 60, "critical": 90}, "usage_spike": {"enabled": False}}
    changed = ok(client.put("/api/v1/alert-rules", json={"rules": wanted}))
    assert changed["rules"]["budget"]["thresholds"] == {"warning": 60, "critical": 90}
    assert not changed["rules"]["usage_spike"]["enabled"]
    assert ok(client.get("/api/v1/alert-rules"))["rules"] == changed["rules"]
    assert ok(client.put("/api/v1/alert-rules", json={"rules": {}}))["rules"] == before


def test_alert_rules_are_overwritten_only_as_they_were_read(service: Service) -> None:
    client = service.client(org="careful")
    read = {"If-Match": client.get("/api/v1/alert-rules").headers["ETag"]}
    wanted = {"rules": {"budget": {"warning": 60}}}
    ok(client.put("/api/v1/alert-rules", json=wanted, headers=read))
    stale = ok(client.put("/api/v1/alert-rules", json={"rules": {}}, headers=read), 412)
    assert stale["code"] == "stale_version"
    assert ok(client.get("/api/v1/alert-rules"))["rules"]["budget"]["thresholds"]["warning"] == 60


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"none": {}}, "rules.none"),
        ({"budget": {"warning": 0}}, "rules.budget.warning"),
        ({"budget": {"warning": 101}}, "rules.budget.warning"),
        ({"budget": {"warning": True}}, "rules.budget.warning"),
        ({"budget": {"enabled": 1}}, "rules.budget.enabled"),
        ({"budget": {"percent": 5}}, "rules.budget.percent"),
    ],
)
def test_wrong_thresholds_are_named(service: Service, rules: Any, field: str) -> None:
    problem = ok(service.client().put("/api/v1/alert-rules", json={"rules": rules}), 422)
    assert (problem["code"], problem["field"]) == ("invalid_value", field)


def test_a_webhook_from_its_making_to_its_end(service: Service) -> None:
    client = service.client(org="hooked")
    made = ok(client.post(PATH, json={"url": URL, "types": ["scrip.budget.threshold"]}), 201)
    assert made["secret"].startswith("whsec_")
    (listed,) = ok(client.get(PATH))["items"]
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    changed = ok(client.patch(f"{PATH}/{made['id']}", json={"types": None, "enabled": False, "description": "ours"}))
    assert (changed["types"], changed["enabled"], changed["description"], changed["url"]) == (None, False, "ours", URL)
    crossed(service, "hooked", "k1")
    assert ok(client.get(f"{PATH}/{made['id']}/deliveries"))["items"] == []
    ok(client.patch(f"{PATH}/{made['id']}", json={"enabled": True}))
    crossed(service, "hooked", "k2")
    (delivery,) = ok(client.get(f"{PATH}/{made['id']}/deliveries"))["items"]
    assert (delivery["status"], delivery["attempts"], delivery["type"]) == ("pending", 0, "scrip.budget.threshold")
    resend = {"delivery_id": delivery["id"]}
    answers = [
        ok(client.post(f"{PATH}/{made['id']}/resend", json=resend, headers={"Idempotency-Key": "r1"}), 202)
        for _ in range(2)
    ]
    assert answers[0] == answers[1] != resend
    rows = ok(client.get(f"{PATH}/{made['id']}/deliveries", params={"limit": 1}))
    assert rows["items"][0]["resend_of"] == delivery["id"]
    assert rows["next_cursor"]
    assert len(ok(client.get(f"{PATH}/{made['id']}/deliveries", params={"status": "delivered"}))["items"]) == 0
    ok(client.delete(f"{PATH}/{made['id']}"), 204)
    ok(client.delete(f"{PATH}/{made['id']}"), 404)
    ok(client.get(f"{PATH}/{made['id']}/deliveries"), 404)


def test_the_same_request_makes_one_webhook_and_shows_its_secret_again(service: Service) -> None:
    client = service.client(org="repeating", **{"Idempotency-Key": "w1"})
    first, again = (client.post(PATH, json={"url": URL}) for _ in range(2))
    assert ok(first, 201) == ok(again, 201)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    other = ok(client.post(PATH, json={"url": URL + "/other"}), 422)
    assert other["code"] == "idempotency_key_reused"
    assert len(ok(client.get(PATH))["items"]) == 1


@pytest.mark.parametrize(
    "url", ["http://hooks.example.com/", "https://127.0.0.1/", "https://localhost/", "https://[::ffff:10.0.0.1]/", "x"]
)
def test_no_webhook_goes_to_a_private_address(service: Service, url: str) -> None:
    client = service.client(org="private")
    refused = ok(client.post(PATH, json={"url": url}), 422)
    assert refused["field"] == "url"
    assert "SCRIP_WEBHOOKS_ALLOW_PRIVATE=true" in refused["detail"]  # how to try webhooks out
    made = ok(client.post(PATH, json={"url": URL}), 201)
    assert ok(client.patch(f"{PATH}/{made['id']}", json={"url": url}), 422)["field"] == "url"


def test_unknown_types_are_refused_and_webhooks_are_of_one_organisation(service: Service) -> None:
    client = service.client(org="typed")
    assert ok(client.post(PATH, json={"url": URL, "types": ["scrip.none"]}), 422)["field"] == "types"
    made = ok(client.post(PATH, json={"url": URL}), 201)
    stranger = service.client(org="strange")
    for answer in (
        stranger.patch(f"{PATH}/{made['id']}", json={"enabled": False}),
        stranger.delete(f"{PATH}/{made['id']}"),
        stranger.get(f"{PATH}/{made['id']}/deliveries"),
        stranger.post(f"{PATH}/{made['id']}/resend", json={"delivery_id": "1.x"}),
    ):
        ok(answer, 404)
    assert ok(stranger.get(PATH))["items"] == []
    for role in ("user", "worker", "auditor"):
        assert service.client(role, org="typed").post(PATH, json={"url": URL}).status_code == 403
