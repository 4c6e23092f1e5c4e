"""No request makes an event that could not be published: many small grants, and what becomes of them, over HTTP."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from domain.bounds import MAX_SLICES
from domain.credits.commands import Grant
from infra.ids import uuid7
from infra.log.statements import MAX_EVENT_BYTES
from infra.writer.submission import Submission
from tests.api.generating import FILM, new_user
from tests.api.service import ORG, Service, address
from tests.waiting import patient

MANY = 9_990
ENDS = datetime(2990, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def client(service: Service) -> httpx.Client:
    """One who may do all of it."""
    return service.client("admin")


def grants(service: Service, account: str, count: int = MANY) -> None:
    """So many grants of one credit, each with an end: the largest slices that HTTP makes."""
    for start in range(0, count, 1_000):
        commands = [
            Grant(address=account, grant_id=uuid7(), amount=1, source="promotion", expires_at=ENDS, priority=1_000)
            for _ in range(min(1_000, count - start))
        ]
        work = [Submission(org=ORG, command=each, actor="user:boss", caller="test") for each in commands]
        assert not any(each.refusal for each in service.writer.submit(work).result(patient(60)))  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def crowded(service: Service) -> str:
    """An account with 9,990 grants of one credit."""
    account = address()
    grants(service, account)
    return account


@pytest.fixture(autouse=True)
def published(service: Service) -> Iterator[None]:
    """Whatever a test did, every event can be published, and every one is projected."""
    yield
    with psycopg.connect(service.database.owner_uri) as connection:
        largest = connection.execute("select max(length(data)) from events").fetchone()
    assert largest is not None
    assert largest[0] <= MAX_EVENT_BYTES
    service.project()


def post(client: httpx.Client, path: str, status: int, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def available(client: httpx.Client, account: str) -> int:
    told: int = client.get(f"/api/v1/accounts/{account}/balance").json()["available"]
    return told


@pytest.mark.parametrize("path", ["reservations", "debits", "transfers"])
def test_what_takes_too_many_grants_is_refused_and_less_works(client: httpx.Client, crowded: str, path: str) -> None:
    more = {"to": address()} if path == "transfers" else {}
    before = available(client, crowded)
    told = post(client, f"/api/v1/accounts/{crowded}/{path}", 409, amount=before, **more)
    assert (told["code"], told["limit"], told["possible"]) == ("too_many_grants_at_once", MAX_SLICES, MAX_SLICES)
    assert available(client, crowded) == before
    post(client, f"/api/v1/accounts/{crowded}/{path}", 201, amount=told["possible"], **more)


def test_a_hold_grows_to_so_many_grants_and_ends(client: httpx.Client, crowded: str) -> None:
    held = post(client, f"/api/v1/accounts/{crowded}/reservations", 201, amount=MAX_SLICES - 10)
    path = f"/api/v1/accounts/{crowded}/reservations/{held['reservation_id']}"
    told = post(client, f"{path}/extend", 409, ttl_seconds=900, grow=11)
    assert (told["code"], told["possible"]) == ("too_many_grants_at_once", 10)
    post(client, f"{path}/extend", 200, ttl_seconds=900, grow=10)
    charged = post(client, f"{path}/capture", 200, amount=1)
    post(client, f"/api/v1/accounts/{crowded}/debits/{charged['debit_id']}/refunds", 201)


def test_a_generation_takes_so_many_grants_and_its_check_says_the_same(client: httpx.Client, service: Service) -> None:
    user = new_user(service)
    grants(service, f"user:{user}:credits", 1_100)  # what it costs
    for path in ("/api/v1/generations/check", "/api/v1/generations"):
        told = post(client, path, 409, user_id=user, **FILM)
        assert (told["code"], told["possible"]) == ("too_many_grants_at_once", MAX_SLICES)


def test_a_cost_above_the_hold_takes_so_many_grants_and_the_rest_is_owed(
    client: httpx.Client, service: Service
) -> None:
    org = "over"
    boss = service.client("admin", org=org)
    assert boss.patch(f"/api/v1/organisations/{org}", json={"over_actual": "available"}).status_code == 200
    account = "user:ann:credits"
    post(boss, f"/api/v1/accounts/{account}/grants", 201, amount=1_100, source="gift", priority=0)
    made = post(boss, "/api/v1/generations", 201, user_id="ann", **FILM)
    for start in range(0, 600, 100):
        grant = {"path": f"/api/v1/accounts/{account}/grants", "body": {"amount": 1, "source": "gift"}}
        post(boss, "/api/v1/batch", 200, operations=[grant] * 100, atomic=start == 0)
    told = post(boss, f"/api/v1/generations/{made['generation_id']}/confirm", 200, actual={"credits": 1_700})
    assert told["shortfall"] == {"credits": 600 - MAX_SLICES}
    balance = boss.get(f"/api/v1/accounts/{account}/balance").json()
    assert (balance["debited"], balance["shortfall"]) == (1_100 + MAX_SLICES, 600 - MAX_SLICES)


@pytest.mark.parametrize("atomic", [False, True])
def test_neighbours_in_a_batch_are_not_harmed(client: httpx.Client, crowded: str, *, atomic: bool) -> None:
    other, before = address(), available(client, crowded)
    grant = {"path": f"/api/v1/accounts/{other}/grants", "body": {"amount": 5, "source": "gift"}}
    hold = {"path": f"/api/v1/accounts/{crowded}/reservations", "body": {"amount": before}}
    answer = client.post("/api/v1/batch", json={"atomic": atomic, "operations": [grant, hold, grant]})
    statuses = [each["status"] for each in answer.json()["results"]]
    assert statuses == ([409, 409, 409] if atomic else [201, 409, 201]), answer.text
    assert (available(client, other), available(client, crowded)) == (0 if atomic else 10, before)


def test_a_price_book_that_is_too_large_is_refused(client: httpx.Client) -> None:
    entry = {"operation": "image", "credits": 1}
    entries = [{**entry, "model": f"{n:04}" + "é" * 246} for n in range(1_850)]
    body = json.dumps({"entries": entries}, ensure_ascii=False).encode()
    answer = client.put("/api/v1/prices", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["limit"]) == (413, MAX_EVENT_BYTES), answer.text
