"""The server in memory answers its calls as one with PostgreSQL does, and says so of all others."""

import asyncio
import gc
import re
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from scrip_client import testing
from scrip_client.testing import FakeScrip

from api.app import ENDPOINTS
from api.in_memory import SERVED, Worlds
from tests.api.service import Service
from tests.client.places import Fake

Call = Callable[..., Any]  # method, path and body to an answer, or to nothing where that is no success

FILM = {"operation": "video", "model": "MiniMax-Hailuo-02", "options": {"resolution": "1080P", "duration": 6}}  # 1100
PICTURE = {"operation": "image", "model": "FLUX.1 [dev]"}  # 90 credits
# What two servers name or date differently.
OWN = {"position", "actor", "price_version", "as_of", "at", "period_start", "period_end"}


def real(service: Service) -> Call:
    client = service.client()

    def call(method: str, path: str, body: Any = None) -> Any:
        answer = client.request(method, path, json=body)
        return answer.json() if answer.is_success else None

    return call


def in_memory() -> Call:
    place = Fake()
    client = place.server

    def call(method: str, path: str, body: Any = None) -> Any:
        answer = client.handle_request(request_of(client, method, path, body))
        return answer.json() if answer.is_success else None

    return call


def request_of(server: FakeScrip, method: str, path: str, body: Any) -> Any:
    import httpx

    login = {"Authorization": f"Bearer {server.token('org_admin', 'boss')}"}
    return httpx.Request(method, f"http://scrip{path}", headers=login, json=body)


def lived(call: Call, user: str) -> None:
    """Generations of every end, contents, a grant that is void after it was spent, a budget and a full group."""
    path = f"/api/v1/accounts/user:{user}:credits"
    grant = call("POST", f"{path}/grants", {"amount": 2_000, "source": "gift", "reason": "to begin with"})["grant_id"]
    contents = [{"id": f"{user}-2", "bytes": 70, "url": "https://cdn.example/1"}, {"id": f"{user}-3", "bytes": 900}]
    made = {"user_id": user, "prompt": "a cat", "metadata": {"of": user}}
    asked: list[tuple[dict[str, Any], tuple[str, dict[str, Any]] | None]] = [
        ({**PICTURE, "id": f"{user}-whole"}, ("confirm", {"contents": [{"id": f"{user}-1", "bytes": 70}]})),
        ({**PICTURE, "id": f"{user}-part", "parent_id": f"{user}-whole"}, ("confirm", {"content": {"bytes": 5}})),
        ({**FILM, "id": f"{user}-film"}, ("fail", {"outcome": "provider_error", "error_message": "no answer"})),
        ({**PICTURE, "id": f"{user}-off"}, ("cancel", {})),
        ({**PICTURE, "id": f"{user}-open"}, None),
        ({**FILM, "id": f"{user}-short", "options": {"resolution": "1080P", "duration": 6, "count": 9}}, None),
        (
            {**PICTURE, "id": f"{user}-many", "options": {"count": 2}},
            ("confirm", {"contents": contents, "succeeded": 1}),
        ),
    ]
    for body, end in asked:
        call("POST", "/api/v1/generations", {**made, **body})
        if end is not None:
            call("POST", f"/api/v1/generations/{body['id']}/{end[0]}", end[1])
    call("POST", f"/api/v1/generations/{user}-whole/refund", {"reason": "a dog", "amount": 40})
    call("POST", f"{path}/debits", {"amount": 7, "reason": "by hand"})
    call("POST", f"{path}/transfers", {"to": f"user:{user}x:credits", "amount": 3})
    call("POST", f"{path}/reservations", {"amount": 9, "id": f"{user}-r"})
    call("POST", f"{path}/grants/{grant}/void", {})
    call("PUT", f"/api/v1/users/{user}/budget", {"monthly_budget": "20.00"})
    call("POST", "/api/groups", {"id": f"g-{user}", "name": "Film", "image_limit": 0})
    call("POST", "/api/group-members", {"group_id": f"g-{user}", "user_ids": [user]})
    call("POST", "/api/v1/generations", {**made, **PICTURE, "id": f"{user}-grouped"})


PATHS = (
    "/api/v1/generations?user_id={}",
    "/api/v1/generations?user_id={}&limit=2",
    "/api/v1/generations?user_id={}&status=failed",
    "/api/v1/generations?user_id={}&status=refused",
    "/api/v1/generations?user_id={}&outcome=provider_error",
    "/api/v1/generations?user_id={}&model=FLUX.1%20%5Bdev%5D",
    "/api/v1/generations?user_id={0}&q={0}-f",
    "/api/v1/generations?user_id={}&q=hailuo",
    "/api/v1/generations?user_id={}&from=2020-01-01",
    "/api/v1/generations?user_id={}&to=2020-01-01",
    "/api/v1/generations?user_id={}&to=2020-01-01T00:00:00Z",
    "/api/v1/generations/{}-whole",
    "/api/v1/generations/{}-film",
    "/api/v1/generations/{}-nobody",
    "/api/v1/generations/{}-many/explain",
    "/api/v1/generations/{}-short/explain",
    "/api/v1/contents?user_id={}&sort=size&limit=1",
    "/api/v1/contents?user_id={}&limit=2",
    "/api/v1/accounts/user:{}:credits/balance",
    "/api/v1/accounts/user:{}x:credits/balance",
    "/api/v1/accounts/user:{}:credits/transactions?limit=4",
    "/api/v1/accounts/user:{}:credits/transactions?type=captured",
    "/api/v1/accounts/user:{}:credits/transactions?from=2020-01-01",
    "/api/v1/accounts/user:{}:credits/grants?limit=1",
    "/api/v1/accounts/user:{}:credits/reservations?limit=2",
    "/api/v1/accounts/user:{}:credits/reservations?status=captured",
    "/api/v1/accounts/user:{0}:credits/reservations/{0}-r",
    "/api/v1/accounts/user:{0}:credits/debits/{0}-whole.1",
    "/api/v1/users/{}/budget",
)


def pages(call: Call, path: str) -> list[Any]:
    """The answer, and those of all its further pages."""
    found = [call("GET", path)]
    while isinstance(found[-1], dict) and (cursor := found[-1].get("next_cursor")):
        found.append(call("GET", f"{path}&cursor={cursor}"))
    return found


def scrubbed(value: Any, name: str = "") -> Any:
    """Without what differs from server to server: ids that they give, times, positions."""
    if isinstance(value, dict):
        return {key: scrubbed(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [scrubbed(each, name) for each in value]
    if name == "text":
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "…", value)
    own = name in OWN or name.endswith(("_at", "_cursor"))
    if name == "id" or name.endswith("_id"):
        own = not str(value).startswith(("u", "g-u"))  # what the caller named
    return "…" if own and value is not None else value


def test_its_lists_and_reads_are_those_of_a_server_with_a_database(service: Service) -> None:
    user = f"u{secrets.token_hex(5)}"
    one, other = real(service), in_memory()
    for call in (one, other):
        lived(call, user)
    service.project()
    for path in PATHS:
        wanted = pages(one, path.format(user))
        assert scrubbed(pages(other, path.format(user))) == scrubbed(wanted), path
        assert wanted != [None] or "nobody" in path


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return Worlds()


def told(worlds: Worlds, method: str, path: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        token = (await worlds.answer({"do": "token", "role": "admin", "sub": "root"}))["token"]
        headers = [("Authorization", f"Bearer {token}")]
        return await worlds.answer({"world": 0, "method": method, "path": path, "headers": headers, "body": ""})

    return asyncio.run(ask())


def test_all_other_calls_are_501(worlds: Worlds) -> None:
    assert {route.name for route in ENDPOINTS} >= SERVED
    for route in ENDPOINTS:
        method = route.method
        path = route.path.replace("{address}", "user:u:credits").replace("{id}", "i")
        answer = told(worlds, method, path)
        refused = answer["status"] == 501 and "not_in_the_fake" in answer["body"]
        assert refused is (route.name not in SERVED), (method, path, answer)


def test_worlds_know_nothing_of_each_other() -> None:
    first, second = FakeScrip(), FakeScrip()
    first.give("u", credits=5)
    first.advance(60)
    assert (first.available("u"), second.available("u")) == (5, 0)
    assert first.now > second.now


def test_a_world_ends_with_its_server(worlds: Worlds) -> None:
    asyncio.run(worlds.answer({"world": 7, "do": "new", "over": []}))
    asyncio.run(worlds.answer({"world": 8, "do": "new", "over": [7]}))
    with pytest.raises(KeyError):
        asyncio.run(worlds.answer({"world": 7, "do": "advance", "seconds": 1}))
    dropped = FakeScrip()
    engine, number = dropped._engine, dropped._world
    del dropped
    gc.collect()
    FakeScrip()
    with pytest.raises(ValueError, match="KeyError"):
        engine.ask({"world": number, "do": "advance", "seconds": 1})


def test_a_later_price_takes_effect_with_the_next_request() -> None:
    fake = FakeScrip()
    fake.give("u", credits=100)
    for price in (30, 20):
        fake.price(operation="image", model="m", credits=price)
        asked = {"operation": "image", "model": "m"}
        assert fake.call("POST", "/api/v1/quotes", asked)["credits"] == price


def test_what_it_cannot_do_is_an_error_and_a_child_that_has_ended_too() -> None:
    fake = FakeScrip()
    with pytest.raises(ValueError, match="nobody knows"):
        fake._engine.ask({"world": 1, "do": "something else"})
    assert fake.available("u") == 0
    testing.close()
    with pytest.raises(ImportError, match="ended"):
        fake.available("u")
    assert FakeScrip().available("u") == 0
