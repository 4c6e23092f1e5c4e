"""What use costs: held by what is expected, charged by what is reported, on success and on failure."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.generating import PATH, configure, new_user, ok
from tests.api.service import Service
from tests.conftest import move_clock

CHAT = {"operation": "chat", "model": "by-use"}
BY_USE = {**CHAT, "rates": {"input": 10, "output": 50}, "expected_usage": {"input": 1_000, "output": 400}}
FIXED = {"operation": "chat", "model": "fixed", "credits": 40}
TRIAL = {"operation": "chat", "model": "trial", "free": True}


@pytest.fixture(scope="module", autouse=True)
def prices(service: Service) -> Iterator[None]:
    """A book with a price by use, a fixed one and one that is free on purpose, in force."""
    published = service.client("admin", "root").put("/api/v1/prices", json={"entries": [BY_USE, FIXED, TRIAL]})
    assert published.status_code == 200, published.text
    move_clock(service.database, "6 seconds")
    assert service.client().get("/api/v1/prices").json()["entries"] == [BY_USE, FIXED, TRIAL]
    yield
    configure(service, settlement_policy={})


def account(service: Service, user: str) -> tuple[int, int, int]:
    """What is available, held and charged."""
    found = ok(service.client().get(f"/api/v1/accounts/user:{user}:credits/balance"))
    return found["available"], found["reserved"], found["debited"]


def made(service: Service, user: str, asked: dict[str, Any] = CHAT, **more: Any) -> str:
    body = {**asked, "user_id": user, **more}
    return str(ok(service.client("worker", "w").post(PATH, json=body), 201)["generation_id"])


# ---- what is held


def test_a_price_by_use_is_held_and_charged_by_use(service: Service) -> None:
    """A hold of nothing let users with nothing in, and their use was never charged."""
    worker, user = service.client("worker", "w"), new_user(service)
    assert ok(worker.post("/api/v1/quotes", json=CHAT))["credits"] == 30
    assert ok(worker.post(PATH, json={**CHAT, "user_id": user}), 402)["code"] == "insufficient_credits"
    user = new_user(service, credits=100)
    generation = made(service, user)
    assert account(service, user) == (70, 30, 0)
    done = ok(worker.post(f"{PATH}/{generation}/confirm", json={"usage": {"input": 500, "output": 100}}))
    assert (done["charged"]["credits"], done["returned"], done["uncharged"]) == (10, {"credits": 20}, {})
    assert account(service, user) == (90, 0, 10)


@pytest.mark.parametrize(("role", "low", "high"), [("user", 30, 60), ("worker", 15, 60)])
def test_an_estimate_sizes_the_hold(service: Service, role: str, low: int, high: int) -> None:
    """A user may raise what is held, never lower it below the entry's."""
    user = new_user(service, credits=1_000)
    caller = service.client(role, user)
    for estimate, credits_ in (({"output": 100}, low), ({"output": 1_000}, high)):
        asked = {**CHAT, "estimate": estimate}
        assert ok(caller.post("/api/v1/quotes", json=asked))["credits"] == credits_
        checked = ok(caller.post(f"{PATH}/check", json={**asked, "user_id": user}))
        assert (checked["quote"]["credits"], checked["checks"][-1]["needed"]) == (credits_, credits_)
        held = ok(caller.post(PATH, json={**asked, "user_id": user}), 201)
        assert [each["amount"] for each in held["holds"]] == [credits_]


@pytest.mark.parametrize(
    "body",
    [
        {**CHAT, "estimate": {"seconds": 5}},
        {**CHAT, "estimate": {"input": 0, "output": 0}},
        {"operation": "chat", "model": "fixed", "estimate": {"input": 5}},
        {"operation": "image", "estimate": {"input": 5}},
    ],
)
def test_an_estimate_that_sizes_nothing_is_refused(service: Service, body: dict[str, Any]) -> None:
    user = new_user(service, credits=1_000, tokens=1_000)
    worker = service.client("worker", "w")
    for path in (PATH, f"{PATH}/check"):
        refused = worker.post(path, json={**body, "user_id": user})
        assert (refused.status_code, refused.json()["code"]) == (422, "unpriced"), refused.text
    assert account(service, user) == (1_000, 0, 0)


def test_what_is_free_on_purpose_runs_without_a_credit(service: Service) -> None:
    user = new_user(service)
    generation = made(service, user, {"operation": "chat", "model": "trial"})
    done = ok(service.client("worker", "w").post(f"{PATH}/{generation}/confirm", json={"usage": {"input": 9}}))
    assert (done["charged"]["credits"], done["uncharged"]) == (0, {})


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"model": "m", "rates": {"input": 10}}, "entries[0].expected_usage"),
        ({"model": "m", "rates": {"input": 10}, "expected_usage": {"output": 1}}, "entries[0].expected_usage.output"),
        ({"model": "m", "credits": 0}, "entries[0]"),
        ({"model": "m", "credits": 5, "free": True}, "entries[0].free"),
        ({"model": "m", "credits": 5, "bulk": [{"count": 2, "percent_off": 100}]}, "entries[0].bulk"),
    ],
)
def test_a_price_that_would_be_free_is_not_published(service: Service, entry: dict[str, Any], field: str) -> None:
    admin = service.client("admin", "root")
    for method, path in (("PUT", "/api/v1/prices"), ("POST", "/api/v1/prices/preview")):
        refused = admin.request(method, path, json={"entries": [entry]})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_prices"), refused.text
        assert refused.json()["field"] == field


# ---- a failure after some use


@pytest.mark.parametrize(
    ("policy", "asked", "usage", "charged"),
    [
        ({}, CHAT, {"input": 700, "output": 100}, 0),
        ({"timed_out": 100}, CHAT, {"input": 700, "output": 100}, 12),
        ({"timed_out": 50}, CHAT, {"input": 700, "output": 100}, 6),
        ({"timed_out": 100}, CHAT, None, 30),
        ({"timed_out": 50}, {"operation": "chat", "model": "fixed"}, {"tokens": 9}, 20),
    ],
)
def test_a_cut_stream_is_charged_what_it_used(
    service: Service, policy: dict[str, int], asked: dict[str, Any], usage: dict[str, int] | None, charged: int
) -> None:
    """The provider bills what it has sent; the policy says how much of that the user pays."""
    configure(service, settlement_policy=policy)
    user = new_user(service, credits=100)
    generation = made(service, user, asked)
    body = {"outcome": "timed_out"} | ({"usage": usage} if usage else {})
    done = ok(service.client("worker", "w").post(f"{PATH}/{generation}/fail", json=body))
    assert (done["charged"]["credits"], done["usage"]) == (charged, usage or {})
    assert account(service, user) == (100 - charged, 0, charged)
    service.project()
    told = ok(service.client().get(f"{PATH}/{generation}/explain"))
    assert ("Used: " in str(told["history"])) == bool(usage)


def test_reported_use_is_recorded_beside_an_actual_cost(service: Service) -> None:
    user = new_user(service, credits=100)
    body = {"actual": {"credits": 3}, "usage": {"input": 5}}
    done = ok(service.client("worker", "w").post(f"{PATH}/{made(service, user)}/confirm", json=body))
    assert (done["charged"]["credits"], done["usage"]) == (3, {"input": 5})


# ---- what could not be charged


def test_a_shortfall_and_an_overdraft_are_two_figures(service: Service) -> None:
    """Used and not charged is a shortfall; below zero within a credit limit is overdrawn. A full refund ends both."""
    configure(service, settlement_policy={}, over_actual="available")
    boss, user = service.client(), new_user(service, credits=60)
    generation = made(service, user)
    done = ok(service.client("worker", "w").post(f"{PATH}/{generation}/confirm", json={"actual": {"credits": 100}}))
    assert done["shortfall"] == {"credits": 40}
    path = f"/api/v1/accounts/user:{user}:credits"
    service.project()
    at = {"effective_at": ok(boss.get(f"{path}/balance"))["as_of"].replace("+00:00", "Z")}
    for found in (
        ok(boss.get(f"{path}/balance")),
        ok(boss.get(f"{path}/balance", params=at)),
        ok(boss.get("/api/v1/accounts", params={"prefix": f"user:{user}:credits"}))["items"][0],
    ):
        assert (found["shortfall"], found["overdrawn"], found["available"]) == (40, 0, 0)
    back = ok(boss.post(f"{PATH}/{generation}/refund", json={"reason": "bad"}))
    assert (back["returned"], back["written_off"]) == ({"credits": 60}, {"credits": 40})
    ok(boss.post(f"{path}/grants", json={"amount": 100, "source": "gift"}), 201)
    found = ok(boss.get(f"{path}/balance"))
    assert (found["available"], found["shortfall"], found["debited"]) == (160, 0, 60)
    service.project()
    assert ok(boss.get(f"{PATH}/{generation}"))["shortfall"] == {}
    ok(boss.patch(path, json={"credit_limit": 50}))
    ok(boss.post(f"{path}/debits", json={"amount": 190}), 201)
    found = ok(boss.get(f"{path}/balance"))
    assert (found["available"], found["shortfall"], found["overdrawn"]) == (-30, 0, 30)
