"""How many generations may run at once, over HTTP: set, refused with 429, tried again with the same key and id."""

import asyncio
import secrets
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import psycopg
import pytest

from api.http.command import count_open
from api.http.problems import Problem
from domain.credits.refusals import TooMany
from domain.generations.count import MOST_AT_ONCE, StartCounting
from infra.writer.submission import Refused, Submission
from tests.api.generating import PATH, PICTURE, ok
from tests.api.service import Service

ORGANISATIONS = "/api/v1/organisations"
UPLOAD = {"operation": "upload", "bytes": 1}


class Shop:
    """An organisation of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.org = f"o{secrets.token_hex(5)}"
        self.boss = service.client(org=self.org)
        self.platform = service.client("admin", org=self.org)
        self.worker = service.client("worker", "w", org=self.org)

    def create(self, user: str, **more: Any) -> httpx.Response:
        headers = {"Idempotency-Key": more.pop("key")} if "key" in more else {}
        return self.worker.post(PATH, json={**(UPLOAD | more), "user_id": user}, headers=headers)

    def limit(self, what: str, limit: int | None) -> dict[str, Any]:
        """Set a limit of users or models."""
        return self.set(lambda: self.boss.put(f"/api/v1/{what}/running-limit", json={"limit": limit}))

    def set(self, call: Callable[[], httpx.Response]) -> dict[str, Any]:
        """Before the first limit, what is open must be counted, for which the read models must come up."""
        answer = call()
        while answer.status_code == 503:
            assert answer.json()["code"] == "not_yet_visible"
            self.service.project()
            answer = call()
        return ok(answer, 201 if answer.status_code == 201 else 200)

    def stored(self, type_: str) -> int:
        """How many events of a type the organisation has."""
        with psycopg.connect(self.service.database.owner_uri) as connection:
            rows = connection.execute("select 1 from events where org = %s and type = %s", (self.org, type_))
            return len(rows.fetchall())


@pytest.fixture
def shop(service: Service) -> Shop:
    return Shop(service)


def test_over_the_limit_is_429_and_the_same_key_and_id_may_be_tried_again(shop: Shop) -> None:
    shop.limit("users/ann", 1)
    one = ok(shop.create("ann"), 201)["generation_id"]
    busy = shop.create("ann", id="two", key="k")
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "1")
    assert busy.headers["content-type"] == "application/problem+json"
    told = busy.json()
    assert (told["code"], told["reason"], told["can_proceed"]) == ("too_many_running", "too_many_running", False)
    assert (told["required"], told["available"], told["deficit"]) == (1, 0, 1)
    assert "generation_id" not in told, "there is none"
    assert [action["label"] for action in told["actions"]] == ["Ask Your Admin"]
    assert [(check["resource"], check["ok"]) for check in told["checks"]] == [("storage", True), ("running", False)]
    assert shop.stored("generation-refused.v1") == 0
    assert shop.create("ann", id="two", key="k").status_code == 429
    ok(shop.worker.post(f"{PATH}/{one}/confirm", json={}))
    again = shop.create("ann", id="two", key="k")
    assert (again.status_code, again.headers.get("Idempotency-Replayed")) == (201, None)
    replayed = shop.create("ann", id="two", key="k")
    assert (replayed.status_code, replayed.headers["Idempotency-Replayed"]) == (201, "true")
    held = [hold for hold in replayed.json()["holds"] if hold["resource"] == "running"]
    assert {hold["unit"] for hold in held} == {"running", "running/user:ann"}


def _one_at_a_time(shop: Shop, owner: str) -> str:
    """Let one of ann's pictures run at once; returns what the check names."""
    if owner == "organisation":
        shop.set(lambda: shop.boss.patch(f"{ORGANISATIONS}/{shop.org}", json={"running_limit": 1}))
        return "running"
    if owner == "group":
        group = {"id": "g", "name": "G", "running_limit": 1}
        shop.set(lambda: shop.boss.post("/api/groups", json=group))
        ok(shop.boss.post("/api/group-members", json={"group_id": "g", "user_ids": ["ann"]}))
        return "group:g"
    if owner == "model":
        shop.limit(f"models/{PICTURE['model']}", 1)
        return f"model:{str(PICTURE['model']).lower()}"
    if owner == "plan":
        plan = f"p{secrets.token_hex(4)}"
        ok(shop.platform.put(f"/api/v1/plans/{plan}", json={"name": "Small", "user_running_limit": 1}))
        shop.set(lambda: shop.platform.put(f"{ORGANISATIONS}/{shop.org}/plan", json={"plan": plan}))
    else:
        shop.limit("users/ann", 1)
    return "user:ann"


@pytest.mark.parametrize("owner", ["organisation", "plan", "group", "user", "model"])
def test_the_contract_for_each_who_may_have_a_limit(shop: Shop, owner: str) -> None:
    subject = _one_at_a_time(shop, owner)
    ok(shop.boss.post("/api/v1/accounts/user:ann:credits/grants", json={"amount": 500, "source": "gift"}), 201)
    one = ok(shop.create("ann", **PICTURE), 201)["generation_id"]
    ann = shop.service.client("user", "ann", org=shop.org)
    mine = {"action": "reserve", "model": PICTURE["model"]}
    for busy in (
        shop.create("ann", key="k", id="two", **PICTURE),
        ann.post(PATH, json=PICTURE),
        ann.post("/api/credits/me", json=mine),
    ):
        assert (busy.status_code, busy.headers["Retry-After"]) == (429, "1")
        told = busy.json()
        assert (told["code"], told["reason"], told["can_proceed"]) == ("too_many_running", "too_many_running", False)
        (check,) = [each for each in told["checks"] if not each["ok"]]
        assert (check["resource"], check["subject"], check["limit"], check["available"]) == ("running", subject, 1, 0)
    asked = ok(ann.post(f"{PATH}/check", json=PICTURE))
    assert (asked["can_proceed"], asked["reason"]) == (False, "too_many_running")
    ok(shop.worker.post(f"{PATH}/{one}/fail", json={"outcome": "provider_error"}))
    assert ok(shop.create("ann", key="k", id="two", **PICTURE), 201)["generation_id"] == "two"
    assert shop.stored("generation-refused.v1") == 0


def test_it_is_told_as_a_refused_check_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes no event from which the topic `scrip.decisions` could be fed."""
    said: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(shop.service.services, "on_refused_check", lambda org, check: said.append((org, check)))
    shop.limit("users/ann", 0)
    refused = shop.create("ann")
    assert (refused.status_code, "asked" in refused.json()) == (429, False)
    ((org, told),) = said
    assert (org, told["user_id"], told["operation"], told["model"]) == (shop.org, "ann", "upload", None)
    assert (told["reason"], told["checks"][-1]["deficit"], told["actor"]) == ("too_many_running", 1, "worker:w")
    metrics = shop.service.client(None).get("/metrics").text
    assert 'scrip_blocked_total{operation="upload",reason="too_many_running"}' in metrics


def test_those_that_are_open_before_the_limit_count(shop: Shop) -> None:
    ids = [ok(shop.create("ann"), 201)["generation_id"] for _ in range(3)]
    ok(shop.worker.post(f"{PATH}/{ids[0]}/start", json={}))
    ok(shop.worker.post(f"{PATH}/{ids[2]}/cancel", json={}))
    path = f"{ORGANISATIONS}/{shop.org}"
    told = shop.set(lambda: shop.boss.patch(path, json={"running_limit": 2}))
    assert told["running_limit"] == 2
    assert shop.create("bob").status_code == 429
    cancelled = ok(shop.worker.post(f"{PATH}/{ids[1]}/cancel", json={}))
    assert "running" not in cancelled["returned"]
    ok(shop.create("bob"), 201)


def test_many_that_are_open_are_counted_in_slices(shop: Shop) -> None:
    items = [{"path": PATH, "body": {**UPLOAD, "user_id": "ann"}} for _ in range(250)]
    results = ok(shop.worker.post("/api/v1/batch", json={"operations": items}))["results"]
    assert {result["status"] for result in results} == {201}
    shop.limit("users/ann", 250)
    assert shop.create("ann").status_code == 429
    shop.limit("users/ann", 251)
    ok(shop.create("ann"), 201)
    assert shop.stored("counting-started.v1") == shop.stored("counting-completed.v1") == 1


def test_every_owner_has_its_setting(shop: Shop) -> None:
    path = f"{ORGANISATIONS}/{shop.org}"
    assert ok(shop.boss.get(path))["running_limit"] is None
    shop.set(lambda: shop.boss.patch(path, json={"running_limit": 7}))
    assert ok(shop.boss.get(path))["running_limit"] == 7
    assert ok(shop.boss.patch(path, json={"time_zone": "UTC"}))["running_limit"] == 7
    group = ok(shop.boss.post("/api/groups", json={"name": "G", "running_limit": 3}), 201)
    assert group["running_limit"] == 3
    assert ok(shop.boss.patch(f"/api/groups/{group['id']}", json={"running_limit": None}))["running_limit"] is None
    assert ok(shop.boss.patch(f"/api/groups/{group['id']}", json={"running_limit": 2}))["running_limit"] == 2
    shop.service.project()
    (listed,) = ok(shop.boss.get("/api/groups"))["items"]
    assert listed["running_limit"] == ok(shop.boss.get(f"/api/groups/{group['id']}"))["running_limit"] == 2
    assert shop.limit("users/ann", 4) | {"position": ""} == {"user_id": "ann", "limit": 4, "position": ""}
    assert shop.limit("models/FLUX.1 [dev]", 0) | {"position": ""} == {
        "model": "FLUX.1 [dev]", "limit": 0, "position": "",
    }  # fmt: skip
    assert shop.limit("models/openai/gpt-4o", 1)["model"] == "openai/gpt-4o"
    assert shop.limit("models/openai%2Fgpt-4o", 1)["model"] == "openai/gpt-4o"
    assert shop.limit("users/ann", None)["limit"] is None


@pytest.mark.parametrize("path", ["users/ann", "models/FLUX.1 [dev]", "models/openai/gpt-4o"])
def test_what_is_set_is_read(shop: Shop, path: str) -> None:
    read = f"/api/v1/{path}/running-limit"
    assert ok(shop.boss.get(read))["limit"] is None
    told = shop.limit(path, 3)
    assert told["limit"] == 3
    assert ok(shop.boss.get(read)) == told
    shop.limit(path, None)
    assert ok(shop.boss.get(read))["limit"] is None


def test_models_that_differ_in_case_have_one_limit(shop: Shop) -> None:
    shop.limit("models/FLUX", 3)
    assert ok(shop.boss.get("/api/v1/models/flux/running-limit"))["limit"] == 3


def test_users_read_their_own_limit(shop: Shop) -> None:
    shop.limit("users/ann", 3)
    ann = shop.service.client("user", "ann", org=shop.org)
    assert ok(ann.get("/api/v1/users/ann/running-limit"))["limit"] == 3
    assert ann.get("/api/v1/users/bob/running-limit").status_code == 403


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_what_cannot_be_the_name_of_a_model_is_422(shop: Shop, method: str) -> None:
    body = {"limit": 1} if method == "PUT" else None
    answer = shop.boss.request(method, "/api/v1/models/a%09b/running-limit", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "model")


def test_what_may_be_set_is_told(shop: Shop) -> None:
    items = ok(shop.boss.get("/api/v1/settings"))["items"]
    assert [(each["on"], each["name"]) for each in items] == [
        ("organisation", "running_limit"), ("plan", "user_running_limit"), ("group", "running_limit"),
        ("user", "running_limit"), ("model", "running_limit"),
    ]  # fmt: skip
    assert items[1]["label"] == "User running limit"
    assert (items[1]["least"], items[1]["most"]) == (0, 10**12)


def test_that_of_a_plan_comes_with_its_choice(shop: Shop) -> None:
    plan = f"p{secrets.token_hex(4)}"
    ok(shop.platform.put(f"/api/v1/plans/{plan}", json={"name": "Small", "user_running_limit": 1}))
    (shown,) = [each for each in ok(shop.platform.get("/api/v1/plans"))["items"] if each["id"] == plan]
    assert shown["user_running_limit"] == 1
    ok(shop.create("ann"), 201)
    shop.set(lambda: shop.platform.put(f"{ORGANISATIONS}/{shop.org}/plan", json={"plan": plan}))
    assert shop.create("ann").status_code == 429
    ok(shop.create("bob"), 201)
    check = ok(shop.worker.post(PATH + "/check", json={**UPLOAD, "user_id": "ann"}))
    assert (check["can_proceed"], check["reason"]) == (False, "too_many_running")


@pytest.mark.parametrize("value", [-1, 10**12 + 1, "5", 1.0, True])
def test_what_is_no_limit_is_422(shop: Shop, value: Any) -> None:
    for path in ("users/ann", "models/m"):
        answer = shop.boss.put(f"/api/v1/{path}/running-limit", json={"limit": value})
        assert (answer.status_code, answer.json()["field"]) == (422, "limit")
    answer = shop.boss.patch(f"{ORGANISATIONS}/{shop.org}", json={"running_limit": value})
    assert (answer.status_code, answer.json()["field"]) == (422, "running_limit")
    assert shop.boss.put("/api/v1/users/ann/running-limit", json={}).status_code == 422


def test_limits_are_the_admins(shop: Shop) -> None:
    for role in ("user", "worker", "auditor"):
        client = shop.service.client(role, "x", org=shop.org)
        for path in ("users/x", "models/m"):
            assert client.put(f"/api/v1/{path}/running-limit", json={"limit": 1}).status_code == 403


@pytest.mark.parametrize("atomic", [False, True])
def test_in_a_batch_what_is_open_is_counted_before_the_first_limit(shop: Shop, atomic: bool) -> None:
    ok(shop.create("ann"), 201)
    items = [
        {"path": "/api/groups", "body": {"id": "g", "name": "G", "running_limit": 2}},
        {"path": "/api/group-members", "body": {"group_id": "g", "user_ids": ["ann", "bob"]}},
    ]
    told = shop.set(lambda: shop.boss.post("/api/v1/batch", json={"operations": items, "atomic": atomic}))
    assert [result["status"] for result in told["results"]] == [201, 200]
    ok(shop.create("ann"), 201)
    ok(shop.create("bob"), 201)
    assert shop.create("bob").json()["checks"][-1]["subject"] == "group:g"


def test_a_batch_counts_nothing_where_it_sets_no_limit(shop: Shop) -> None:
    items = [{"path": "/api/groups", "body": body} for body in ({"name": "G", "running_limit": None}, {"name": "H"})]
    told = ok(shop.boss.post("/api/v1/batch", json={"operations": items}))
    assert [result["status"] for result in told["results"]] == [201, 201]
    assert shop.stored("counting-started.v1") == 0


def test_an_organisation_may_switch_it_off(shop: Shop) -> None:
    path = f"{ORGANISATIONS}/{shop.org}"
    told = ok(shop.boss.get(path))
    assert told["enforce"][-1] == told["enforceable"][-1]["name"] == "running"
    shop.limit("users/ann", 0)
    assert shop.create("ann").status_code == 429
    ok(shop.boss.patch(path, json={"enforce": ["storage"]}))
    ok(shop.create("ann"), 201)
    ok(shop.boss.patch(path, json={"enforce": ["storage", "running"]}))
    assert shop.create("ann").status_code == 429


def test_it_is_explained_in_plain_words(shop: Shop) -> None:
    shop.limit("users/ann", 2)
    held = ok(shop.create("ann"), 201)
    told = shop.boss.get(f"{PATH}/{held['generation_id']}/explain")
    assert "a place of those that run at once" in told.text


def test_more_than_can_be_counted_is_said_and_not_tried_for_ever() -> None:
    refusal = Refused.of(TooMany(what="reservations", limit=100_000))

    class Ledger:
        """Accepts that counting starts, and cannot hold more."""

        async def execute(self, item: Submission) -> Any:
            refused = None if isinstance(item.command, StartCounting) else refusal
            return SimpleNamespace(refusal=refused, partition=0, position=1, result_state=False)

    class Services:
        ledger = Ledger()
        visible = SimpleNamespace(reached=lambda _partition, _position: asyncio.sleep(0, result=True))

        async def rows(self, _query: str, _wanted: dict[str, Any]) -> list[dict[str, Any]]:
            return [{"id": f"g{number}", "created_position": number} for number in range(MOST_AT_ONCE)]

    with pytest.raises(Problem, match="100000") as caught:
        asyncio.run(count_open(Services(), "acme", "running", "boss"))  # type: ignore[arg-type]  # what it needs
    assert caught.value.status == 409
