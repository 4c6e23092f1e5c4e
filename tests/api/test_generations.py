"""The main flow over HTTP: check, hold everything or nothing, settle, give back (S0, S1, S2, S4)."""

from typing import Any

import pytest

from tests.api.generating import (
    FILM,
    MB,
    PATH,
    PICTURE,
    SIZED,
    balance,
    budget_of,
    configure,
    give,
    in_group,
    limit_storage,
    new_user,
    ok,
    store,
)
from tests.api.service import Service
from tests.conftest import move_clock


def check(service: Service, user: str, body: dict[str, Any]) -> dict[str, Any]:
    return ok(service.client("user", user).post(PATH + "/check", json=body))


def failed(told: dict[str, Any]) -> list[str]:
    return [each["reason"] for each in told["checks"] if not each["ok"]]


def test_s0_balance_50_and_an_image_that_needs_100(service: Service) -> None:
    """S0-6, S0-7."""
    user = new_user(service, tokens=50)
    told = check(service, user, {"operation": "image"})
    assert (told["can_proceed"], told["reason"]) == (False, "insufficient_tokens")
    assert (told["tokens_needed"], told["current_tokens"], told["storage_needed"]) == (50, 50, 0)
    assert told["actions"] == [
        {"label": "Buy More Tokens", "href": "/settings/tokens"},
        {"label": "Upgrade Plan", "href": "/settings/subscription"},
    ]
    (short,) = [each for each in told["checks"] if not each["ok"]]
    assert (short["needed"], short["available"], short["deficit"]) == (100, 50, 50)
    assert short["message"] == "Insufficient tokens. You need 100 tokens but only have 50. You're 50 tokens short."


def test_s0_195_of_200_mb_and_a_video_that_needs_10(service: Service) -> None:
    """S0-3, S0-6, S0-7."""
    user = new_user(service, tokens=1_000)
    limit_storage(service, user, 200 * MB)
    store(service, user, 195 * MB)
    told = check(service, user, {"operation": "video", "options": {"duration": 6}})
    assert (told["can_proceed"], told["reason"], told["storage_needed"]) == (False, "insufficient_storage", 5 * MB)
    assert (told["current_storage"], told["storage_limit"], told["storage_percent"]) == (195 * MB, 200 * MB, 97.5)
    assert told["storage_formatted"] == "195 MB of 200 MB (97.5 %)"
    assert told["actions"] == [
        {"label": "Delete Old Generations", "href": "/generations"},
        {"label": "Upgrade for More Storage", "href": "/settings/subscription"},
    ]
    refused = ok(service.client("user", user).post(PATH, json={"operation": "video"}), 402)
    assert (refused["code"], refused["required"], refused["deficit"]) == ("insufficient_storage", 10 * MB, 5 * MB)
    # An image needs 5 MB: exactly enough passes, and then storage is exactly full.
    assert check(service, user, {"operation": "image"})["can_proceed"] is True
    store(service, user, 5 * MB)
    full = check(service, user, {"operation": "image"})
    assert (full["reason"], full["storage_needed"], full["storage_percent"]) == ("insufficient_storage", 5 * MB, 100.0)


def test_s0_both_enough_none_at_all_and_both_short(service: Service) -> None:
    """S0-6."""
    user = new_user(service, tokens=100)
    told = check(service, user, {"operation": "image"})
    assert (told["can_proceed"], told["reason"], told["actions"], failed(told)) == (True, "ok", [], [])
    poor = new_user(service)
    assert check(service, poor, {"operation": "chat"})["tokens_needed"] == 50  # 0 tokens
    limit_storage(service, poor, 0)
    both = check(service, poor, {"operation": "image"})
    assert (both["reason"], failed(both)) == ("insufficient_storage", ["insufficient_storage", "insufficient_tokens"])
    assert [action["label"] for action in both["actions"]] == [
        "Delete Old Generations", "Upgrade for More Storage", "Buy More Tokens", "Upgrade Plan",
    ]  # fmt: skip
    assert (both["storage_needed"], both["tokens_needed"]) == (5 * MB, 100)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"operation": "image"}, 100),
        ({"operation": "image", "options": {"complexity": "complex"}}, 200),
        ({"operation": "video", "options": {"duration": 6}}, 500),
        ({"operation": "video", "options": {"duration": 7}}, 1_000),
        ({"operation": "chat"}, 50),
        ({"operation": "playground", "tokens": 7}, 7),
        ({"operation": "upload", "bytes": 3}, 0),
    ],
)
def test_s0_estimates(service: Service, body: dict[str, Any], tokens: int) -> None:
    """S0-2, S0-4: image, video, tokens only, storage only."""
    assert check(service, "nobody", body)["quote"]["tokens"] == tokens


def test_s4_the_sentence_and_what_would_run_instead(service: Service) -> None:
    """S0-10, S4-3."""
    user = new_user(service, credits=500)
    refused = ok(service.client("user", user).post(PATH, json=FILM), 402)
    assert (
        refused["detail"] == "Insufficient credits. You need 1100 credits but only have 500. You're 600 credits short."
    )
    assert (refused["code"], refused["reason"], refused["can_proceed"]) == ("insufficient_credits",) * 2 + (False,)
    assert (refused["required"], refused["available"], refused["deficit"]) == (1_100, 500, 600)
    assert refused["alternatives"][0]["label"] == "MiniMax-Hailuo-02 512P 10s"
    assert balance(service, user) == (500, 0, 0)
    metrics = service.client(None).get("/metrics").text
    assert 'scrip_blocked_total{operation="video",reason="insufficient_credits"}' in metrics


def test_a_refused_check_is_told_on(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """S0-10: of checks, best effort; one that passes is none."""
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(service.services, "on_refused_check", lambda org, check: told.append((org, check)))
    user = new_user(service, credits=90)
    check(service, user, PICTURE)
    check(service, user, FILM)
    ((org, refused),) = told
    assert (org, refused["user_id"], refused["operation"], refused["model"]) == ("acme", user, "video", FILM["model"])
    assert (refused["reason"], refused["checks"][-1]["deficit"]) == ("insufficient_credits", 1_010)


def test_s1_s2_every_resource_is_held_together_and_settled_together(service: Service) -> None:
    user = new_user(service, tokens=300)
    group = in_group(service, user, image=3)
    budget_of(service, user, 1_000_000)
    worker = service.client("worker", "w")
    body = {**SIZED, "user_id": user, "options": {**SIZED["options"], "count": 2}, "prompt": "a cat"}  # type: ignore[dict-item]
    made = ok(worker.post(PATH, json=body), 201)
    assert (made["status"], made["transaction_id"]) == ("held", made["generation_id"])
    held = {each["resource"]: each for each in made["holds"]}
    assert held["groups"] == {"resource": "groups", "group": group, "unit": "image", "amount": 2}
    assert held["budget"] == {"resource": "budget", "user": user, "unit": "usd", "amount": "0.08"}
    assert held["storage"] == {"resource": "storage", "user": user, "unit": "bytes", "amount": 10 * MB}
    assert held["tokens"]["account"] == f"user:{user}:tokens"
    assert (made["quote"]["usd"], made["quote"]["currency"]) == ("0.08", "USD")
    again = ok(worker.post(PATH, json={**body, "id": "second"}), 402)
    assert (again["reason"], again["actions"][0]["label"]) == ("group_limit", "Ask Your Admin")

    path = f"{PATH}/{made['generation_id']}"
    assert ok(worker.post(path + "/start"))["status"] == "running"
    done = ok(
        worker.post(
            path + "/confirm",
            json={
                "succeeded": 1,
                "contents": [{"id": f"{user}.1", "url": "https://x.example/1", "bytes": 3 * MB}],
                "provider_cost": {"amount": "0.02", "currency": "USD"},
                "generation_time_ms": 1_500,
            },
        )
    )
    assert done["status"] == "completed"
    assert done["charged"] == {"credits": 0, "tokens": 100, "plan_tokens": 0, "usd": "0.04", "currency": "USD"}
    assert (done["returned"]["tokens"], done["returned"]["usd"], done["returned"]["image"]) == (100, "0.04", 1)
    assert done["contents"] == [f"{user}.1"]
    me = ok(service.client("user", user).get("/api/auth/me"))
    assert (me["tokens"], me["budget"]["used_monthly"]) == ({"available": 200, "reserved": 0}, "0.04")
    assert (me["storage"]["used"], me["storage"]["held"]) == (3 * MB, 0)
    assert me["groups"][0]["usage"] == {"image": 1, "video": 0}

    back = ok(worker.post(path + "/refund", json={"reason": "blurred"}))
    assert back["returned"] == {"tokens": 100, "usd": "0.04", "image": 1}
    me = ok(service.client("user", user).get("/api/auth/me"))
    assert (me["tokens"]["available"], me["budget"]["used_monthly"]) == (300, "0.00")
    assert me["groups"][0]["usage"] == {"image": 0, "video": 0}
    assert ok(worker.post(path + "/refund", json={"reason": "again"}), 409)["code"] == "nothing_to_refund"


def test_s2_a_budget_that_is_too_small_in_money(service: Service) -> None:
    user = new_user(service, tokens=100_000)
    body = {**SIZED, "options": {**SIZED["options"], "count": 251}}  # type: ignore[dict-item]
    told = check(service, user, body)
    assert told["reason"] == "budget_exceeded"
    (money,) = [each for each in told["checks"] if each["resource"] == "budget"]
    assert (money["needed"], money["available"], money["limit"], money["deficit"]) == (
        "10.04",
        "10.00",
        "10.00",
        "0.04",
    )
    assert (money["currency"], told["actions"][0]) == ("USD", {"label": "Raise Budget", "href": "/settings/budget"})


def test_s3_a_feature_is_charged_to_the_plan(service: Service) -> None:
    org, boss = "leads", service.client(org="leads")
    body = {"user_id": "ann", "operation": "find", "feature": "generate_leads"}
    blocked = ok(boss.post(PATH, json=body), 402)
    assert (blocked["code"], blocked["actions"][0]["label"]) == ("plan_blocked", "Upgrade Plan")
    granted = boss.post(
        f"/api/v1/accounts/org:{org}:tokens.lead_generation/grants", json={"amount": 5, "source": "gift"}
    )
    assert granted.status_code == 201
    made = ok(boss.post(PATH, json=body), 201)
    assert (made["quote"]["token_type"], made["quote"]["plan_tokens"]) == ("lead_generation", 5)
    done = ok(boss.post(f"{PATH}/{made['generation_id']}/confirm"))
    assert done["charged"]["plan_tokens"] == 5


def test_settling_by_usage_in_parts_above_the_hold_and_failing(service: Service) -> None:
    user, worker = new_user(service, credits=1_000), service.client("worker", "w")

    def make() -> str:
        return f"{PATH}/{ok(worker.post(PATH, json={**PICTURE, 'user_id': user}), 201)['generation_id']}"

    less = ok(worker.post(make() + "/confirm", json={"actual": {"credits": 40}}))
    assert (less["charged"]["credits"], less["returned"]["credits"]) == (40, 50)
    more = ok(worker.post(make() + "/confirm", json={"actual": {"credits": 100}}))
    assert (more["charged"]["credits"], more["uncharged"]) == (90, {"credits": 10})
    path = make()
    part = ok(worker.post(path + "/confirm", json={"actual": {"credits": 30}, "final": False}))
    assert (part["status"], part["charged"]["credits"]) == ("running", 30)
    held = ok(worker.post(path + "/extend", json={"ttl_seconds": 5_000, "grow": 20}))["holds"]
    assert [each["amount"] for each in held if each["resource"] == "credits"] == [80]
    assert ok(worker.post(path + "/confirm", json={"actual": {"credits": 80}}))["status"] == "completed"
    unpriced = worker.post(make() + "/confirm", json={"usage": {"seconds": 9}})
    assert (unpriced.status_code, unpriced.json()["code"]) == (422, "unpriced")
    configure(service, settlement_policy={"input_blocked": 50})
    lost = ok(worker.post(make() + "/fail", json={"outcome": "input_blocked", "error_message": "no"}))
    assert (lost["status"], lost["outcome"], lost["charged"]["credits"]) == ("failed", "input_blocked", 45)
    free = ok(worker.post(make() + "/fail", json={"outcome": "provider_error"}))
    assert (free["charged"]["credits"], free["returned"]["credits"]) == (0, 90)
    for body in ({"outcome": "bored"}, {}):
        assert worker.post(make() + "/fail", json=body).status_code == 422


def test_cancel_then_nothing_more_and_a_worker_that_comes_late(service: Service) -> None:
    user, worker = new_user(service, credits=2_000), service.client("worker", "w")
    mine = service.client("user", user)
    path = PATH + "/" + ok(mine.post(PATH, json=FILM), 201)["generation_id"]
    assert ok(mine.post(path + "/cancel"))["returned"] == {"bytes": 10 * MB, "credits": 1_100}
    for rest, body in (("/cancel", {}), ("/start", {}), ("/confirm", {}), ("/fail", {"outcome": "other"})):
        assert ok(worker.post(path + rest, json=body), 409)["code"] == "generation_ended"
    late = PATH + "/" + ok(mine.post(PATH, json={**FILM, "ttl_seconds": 60}), 201)["generation_id"]
    move_clock(service.database, "61 seconds")
    assert ok(worker.post(late + "/cancel"), 409)["outcome"] == "expired"
    assert balance(service, user) == (2_000, 0, 0)
    settled = ok(worker.post(late + "/confirm"))
    assert (settled["status"], settled["charged"]["credits"]) == ("settled_late", 1_100)
    assert balance(service, user) == (900, 0, 1_100)


def test_replays_tell_the_same_refusals_included(service: Service) -> None:
    user = new_user(service, credits=1)
    client = service.client("user", user)
    first = client.post(PATH, json=PICTURE, headers={"Idempotency-Key": "k"})
    again = client.post(PATH, json=PICTURE, headers={"Idempotency-Key": "k"})
    assert (first.status_code, first.content) == (402, again.content)
    assert again.headers["idempotency-replayed"] == "true"
    give(service, f"user:{user}:credits", 200)
    body = {**PICTURE, "id": f"job-{user}"}
    assert ok(client.post(PATH, json=body), 201)["generation_id"] == f"job-{user}"
    assert ok(client.post(PATH, json=body), 409)["code"] == "exists"


def test_a_batch_makes_and_settles(service: Service) -> None:
    user, worker = new_user(service, credits=500), service.client("worker", "w")
    job = f"job-{user}"
    operations = [
        {"path": PATH, "body": {**PICTURE, "user_id": user, "id": job, "prompt": "a cat"}},
        {"path": f"{PATH}/{job}/start"},
        {"path": f"{PATH}/{job}/confirm", "body": {"content": {"url": "https://x.example/1", "bytes": 9}}},
        {"path": f"{PATH}/none/fail", "body": {"outcome": "other", "error_message": "no"}},
        {"path": PATH, "body": PICTURE},
        {"path": PATH, "body": {**FILM, "user_id": user}},
    ]
    results = ok(worker.post("/api/v1/batch", json={"operations": operations}))["results"]
    assert [each["status"] for each in results] == [201, 200, 200, 404, 422, 402]
    assert [each["body"].get("code") for each in results[3:]] == ["not_found", "missing_field", "insufficient_credits"]
    service.project()
    told = ok(service.client("user", user).get(f"{PATH}/{job}"))
    assert (told["prompt"], told["stored"][0]["url"]) == ("a cat", "https://x.example/1")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing_field"),
        ({"operation": ""}, "invalid_value"),
        ({"operation": "two words"}, "invalid_value"),
        ({"operation": "image", "options": {"complexity": "odd"}}, "unpriced"),
        ({"operation": "music"}, "tokens_needed"),
        ({**FILM, "options": {"resolution": "1080P", "duration": 10}}, "unpriced"),
        ({"operation": "find", "feature": "none-such"}, "unknown_token_use"),
        ({"operation": "image", "bytes": 10**12 + 1}, "invalid_value"),
        ({"operation": "image", "parent_id": "none-such", "tokens": 1}, None),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(service: Service, body: dict[str, Any], code: str | None) -> None:
    client = service.client("worker", "w")
    refused = ok(client.post(PATH, json={"user_id": "u", **body}), 422)
    assert refused["code"] == (code or "unknown_parent")
    if "parent_id" not in body:
        assert ok(client.post(PATH + "/check", json={"user_id": "u", **body}), 422)["code"] == code
