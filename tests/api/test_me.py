"""One's own: everything one has in one call, and reserve, confirm and roll back for oneself (S4)."""

from typing import Any

from tests.api.generating import FILM, MB, PATH, balance, budget_of, give, in_group, limit_storage, new_user, ok, store
from tests.api.service import Service

ME = "/api/credits/me"
RESERVE = {"action": "reserve", "model": FILM["model"], "options": FILM["options"]}


def settle(service: Service, user: str, action: str, transaction: str, status: int = 200) -> dict[str, Any]:
    return ok(service.client("user", user).post(ME, json={"action": action, "transaction_id": transaction}), status)


def test_everything_one_has(service: Service) -> None:
    """S4-4."""
    user = new_user(service, credits=50, tokens=120)
    group = in_group(service, user, image=3)
    budget_of(service, user, 25_500_000)
    limit_storage(service, user, 200 * MB)
    store(service, user, 195 * MB)
    me = ok(service.client("user", user).get("/api/auth/me"))
    assert me["user"] == {"id": user, "org": "acme", "role": "user"}
    assert (me["credits"], me["tokens"]) == ({"available": 50, "reserved": 0}, {"available": 120, "reserved": 0})
    assert me["storage"] == {
        "used": 195 * MB,
        "held": 0,
        "limit": 200 * MB,
        "available": 5 * MB,
        "percent": 97.5,
        "formatted": "195 MB of 200 MB (97.5 %)",
    }
    budget = me["budget"]
    assert (budget["monthly_budget"], budget["used_monthly"], budget["remaining"]) == ("25.50", "0.00", "25.50")
    assert budget["period_start"] < budget["period_end"]
    assert me["groups"] == [
        {
            "id": group,
            "name": group,
            "usage": {"image": 0, "video": 0},
            "remaining": {"image": 3, "video": None},
            "status": "green",
        }
    ]


def test_s4_a_model_is_a_generation_of_ones_own(service: Service) -> None:
    """S4-4."""
    user = new_user(service, credits=3_000)
    group = in_group(service, user, video=1)
    mine = service.client("user", user)
    held = ok(mine.post(ME, json=RESERVE))
    assert (held["amount"], held["item"], held["status"]) == (1_100, "MiniMax-Hailuo-02 1080P 6s", "held")
    assert {"resource": "groups", "group": group, "unit": "video", "amount": 1} in held["holds"]
    assert ok(mine.post(ME, json=RESERVE), 402)["code"] == "group_limit"
    back = settle(service, user, "rollback", held["transaction_id"])
    assert (back["returned"], back["status"]) == (1_100, "cancelled")
    again = ok(mine.post(ME, json=RESERVE))["transaction_id"]
    done = settle(service, user, "confirm", again)
    assert (done["amount"], done["returned"], done["transaction_id"]) == (1_100, 0, again)
    assert balance(service, user) == (1_900, 0, 1_100)
    assert settle(service, user, "confirm", again, 409)["code"] == "generation_ended"


def test_what_a_worker_has_started_is_the_workers_to_settle(service: Service) -> None:
    user = new_user(service, credits=1_100)
    transaction = ok(service.client("user", user).post(ME, json=RESERVE))["transaction_id"]
    worker = service.client("worker", "w")
    ok(worker.post(f"{PATH}/{transaction}/start"))
    for action in ("confirm", "rollback"):
        assert settle(service, user, action, transaction, 409)["code"] == "already_started"
    assert ok(worker.post(f"{PATH}/{transaction}/confirm"))["charged"]["credits"] == 1_100


def test_an_amount_is_a_plain_hold(service: Service) -> None:
    user = new_user(service, credits=100)
    held = ok(service.client("user", user).post(ME, json={"action": "reserve", "amount": 60, "reason": "x"}))
    assert "generation_id" not in held
    assert settle(service, user, "rollback", held["transaction_id"])["returned"] == 60
    assert settle(service, user, "rollback", "none-such", 404)["code"] == "not_found"


def test_what_a_worker_has_reserved_is_the_workers_to_settle(service: Service) -> None:
    """A user who could release a worker's hold while the model runs would generate for nothing."""
    user = new_user(service, credits=100)
    account = f"/api/v1/accounts/user:{user}:credits"
    worker = service.client("worker", "w")
    held = ok(worker.post(f"{account}/reservations", json={"amount": 60}), 201)["reservation_id"]
    for action in ("confirm", "rollback"):
        assert settle(service, user, action, held, 403)["code"] == "not_own"
    assert ok(worker.post(f"{account}/reservations/{held}/capture", json={}))["amount"] == 60


def test_what_a_model_is_priced_for_cannot_be_chosen(service: Service) -> None:
    user = new_user(service, credits=5_000)
    mine = service.client("user", user)
    for operation in ("chat", "upload"):
        assert ok(mine.post(ME, json={**RESERVE, "operation": operation}), 422)["code"] == "unpriced"
    assert ok(mine.post(ME, json={**RESERVE, "operation": "VIDEO"}))["holds"][0]["amount"] == 10 * MB
    assert ok(mine.post(ME, json={"action": "reserve", "model": "none-such"}), 422)["code"] == "unpriced"
    give(service, f"user:{user}:tokens", 5)
    assert ok(mine.post(ME, json={**RESERVE, "tokens": 1}), 422)["code"] == "unknown_field"
