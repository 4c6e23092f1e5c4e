"""S2: 10 requests per 60 s per user on generation requests, with a user's own token; others are not limited."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from psycopg_pool import PoolTimeout

from infra.security.rates import RequestRates
from tests.api.service import Service, running, settings_of
from tests.conftest import Database, move_clock

PATH = "/api/v1/generations"
BODY = {"operation": "chat"}
LIMIT, WINDOW_S = 3, 60


@pytest.fixture(scope="module")
def limited(module_database: Database) -> Iterator[Service]:
    """An API that lets users ask three times a minute, and gives each of them tokens."""
    with running(module_database, settings_of(module_database, rate_limit=LIMIT, rate_window_s=WINDOW_S)) as service:
        for name in ("ann", "bob", "cy", "dan", "eve"):
            body = {"amount": 10_000, "source": "gift"}
            assert service.client().post(f"/api/v1/accounts/user:{name}:tokens/grants", json=body).status_code == 201
        yield service


def ask(client: httpx.Client, key: str = "", **body: Any) -> httpx.Response:
    return client.post(PATH, json=BODY | body, headers={"Idempotency-Key": key} if key else {})


def test_what_is_too_much_is_429_and_passes_later_under_the_same_key(limited: Service) -> None:
    """S1-6, S2-6."""
    ann = limited.client("user", sub="ann")
    first = ask(ann, "k0")
    assert [first.status_code, *(ask(ann, f"k{n}").status_code for n in (1, 2))] == [201] * LIMIT
    refused = ask(ann, "k3")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= WINDOW_S
    assert (refused.json()["limit"], refused.json()["window_seconds"]) == (LIMIT, WINDOW_S)
    # What was answered before is answered again, as often as it is asked for.
    for _ in range(LIMIT + 1):
        again = ask(ann, "k0")
        assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
        assert again.json() == first.json()
    move_clock(limited.database, f"{WINDOW_S + 1} seconds")
    later = ask(ann, "k3")  # nothing was stored under it
    assert later.status_code == 201
    assert "idempotency-replayed" not in later.headers


def test_only_requests_that_could_be_decided_count(limited: Service) -> None:
    bob = limited.client("user", sub="bob")
    for _ in range(LIMIT + 1):
        assert ask(bob, operation="").status_code == 422
        assert bob.post(PATH, content=b"{").status_code == 400
        assert bob.post(PATH + "/check", json=BODY).status_code == 200
    assert [ask(bob).status_code for _ in range(LIMIT + 1)] == [201] * LIMIT + [429]


def test_each_user_of_each_organisation_has_a_limit_of_their_own(limited: Service) -> None:
    cy, dan = limited.client("user", sub="cy"), limited.client("user", sub="dan")
    assert [ask(cy).status_code for _ in range(LIMIT + 1)] == [201] * LIMIT + [429]
    assert ask(dan).status_code == 201
    assert ask(limited.client("user", sub="cy", org="globex")).status_code == 402


def test_workers_admins_and_keys_are_not_limited(limited: Service) -> None:
    boss = limited.client()
    key = boss.post("/api/v1/api-keys", json={"name": "k"}).json()["key"]
    program = limited.client(None, Authorization=f"Bearer {key}")
    for client in (limited.client("worker"), boss, limited.client("admin"), program):
        assert [ask(client, user_id="eve").status_code for _ in range(LIMIT + 1)] == [201] * (LIMIT + 1)


def test_they_are_where_it_is_configured(database: Database) -> None:
    settings = settings_of(database, rate_limit=0, rate_limit_programs=1)
    with running(database, settings) as service:
        worker, user = service.client("worker"), service.client("user", sub="u")
        assert [ask(worker, user_id="u").status_code for _ in range(2)] == [402, 429]
        assert [ask(user).status_code for _ in range(2)] == [402, 402]


def test_nothing_passes_uncounted(limited: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise PoolTimeout

    monkeypatch.setattr(RequestRates, "wait_s", away)
    answer = ask(limited.client("user", sub="dan"))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


def test_every_way_to_make_a_generation_counts(limited: Service) -> None:
    """S2-6: `POST /api/credits/me` with a model makes one as well."""
    fay = limited.client("user", sub="fay")
    mine = {"action": "reserve", "model": "none-such"}
    assert [fay.post("/api/credits/me", json=mine).status_code for _ in range(LIMIT)] == [422] * LIMIT
    refused = fay.post("/api/credits/me", json=mine)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert ask(fay).status_code == 429
    # A hold by amount makes no generation, and what is held can still be settled.
    assert fay.post("/api/credits/me", json={"action": "reserve", "amount": 1}).status_code == 402


def test_each_generation_of_a_batch_counts(database: Database) -> None:
    with running(database, settings_of(database, rate_limit_programs=2)) as service:
        many = [{"path": PATH, "body": {**BODY, "user_id": "u"}}] * 3 + [{"path": PATH + "/g/start"}]
        answer = service.client("worker").post("/api/v1/batch", json={"operations": many})
        assert [each["status"] for each in answer.json()["results"]] == [402, 402, 429, 404]
        other = service.client("worker", "other").post("/api/v1/batch", json={"operations": many, "atomic": True})
        assert [each["status"] for each in other.json()["results"]] == [409, 409, 429, 409]
