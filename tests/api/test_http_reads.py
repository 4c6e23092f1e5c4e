"""What HTTP expects of every read: HEAD, Allow, and 304 for an ETag of ours; and cursors that were altered."""

import re
from collections.abc import Callable

import httpx
import pytest

from api.app import ENDPOINTS
from api.http.endpoint import Endpoint
from tests.api.service import Service, address
from tests.api.wire import Wire, request


def routes(method: str) -> list[Endpoint]:
    return [each for each in ENDPOINTS if each.method == method]


def path_of(route: Endpoint) -> str:
    return re.sub(r"{[^}]+}", "user:nobody:credits", route.path)


def test_every_read_takes_head(service: Service) -> None:
    service.project()
    client, streams = service.client("admin"), 0
    for route in routes("GET"):
        path = path_of(route)
        head = client.head(path)
        assert head.content == b"", path
        if "stream" in path:  # it is answered, and does not go on for ever
            streams += 1
            assert head.status_code in {200, 404}, path
            continue
        got = client.get(path)
        assert head.status_code == got.status_code, path
        assert head.headers["content-type"] == got.headers["content-type"], path
        assert head.headers.keys() == got.headers.keys(), path
    assert streams
    for path in ("/livez", "/readyz", "/health", "/metrics"):
        assert service.client(None).head(path).status_code == 200, path


def test_the_connection_goes_on_after_head(service: Service) -> None:
    with Wire(service) as wire:
        for path in ("/livez", "/api/v1/stream", "/api/v1/nothing"):
            wire.send(request(service, path, method="HEAD") + request(service, "/livez", method="GET"))
            head, got = wire.answer(head=True), wire.answer()
            assert head is not None
            assert got is not None
            assert (head.status, got.status, got.json()) == (
                404 if "nothing" in path else 200,
                200,
                {"status": "alive"},
            )


def test_allow_names_every_method_of_a_path(service: Service) -> None:
    client = service.client("admin")
    for method, path, allowed in (
        ("DELETE", "/api/v1/generations", "GET, HEAD, POST"),
        ("DELETE", "/api/v1/prices", "GET, HEAD, PUT"),
        ("POST", "/api/groups/g", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/api/v1/batch", "POST"),
        ("HEAD", "/api/v1/batch", "POST"),
        ("POST", "/livez", "GET, HEAD"),
        ("OPTIONS", "/livez", "GET, HEAD"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), path
        assert answer.headers["content-type"] == "application/problem+json"
        assert method == "HEAD" or answer.json()["code"] == "method_not_allowed"


def test_304_for_every_etag_of_ours(service: Service) -> None:
    boss = service.client("admin")
    account = f"/api/v1/accounts/{address()}"
    assert boss.post(f"{account}/grants", json={"amount": 1, "source": "gift"}).status_code == 201
    assert boss.post("/api/groups", json={"id": "g304", "name": "g"}).status_code == 201
    tagged = 0
    for path in {
        *(path_of(route) for route in routes("GET") if "stream" not in route.path),
        *(f"{account}/balance", account, "/api/groups/g304", "/api/v1/organisations/acme"),
    }:
        got = boss.get(path)
        tag = got.headers.get("etag")
        if got.status_code != 200 or tag is None:
            continue
        tagged += 1
        for method in ("GET", "HEAD"):
            for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                same = boss.request(method, path, headers={"If-None-Match": given})
                assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), path
                assert "content-length" not in same.headers
            other = boss.request(method, path, headers={"If-None-Match": '"other"'})
            assert (other.status_code, other.headers["etag"]) == (200, tag), path
    assert tagged >= 6


def test_if_none_match_changes_nothing_else(service: Service) -> None:
    boss = service.client()
    anything = {"If-None-Match": "*"}
    granted = boss.post(f"/api/v1/accounts/{address()}/grants", json={"amount": 1, "source": "gift"}, headers=anything)
    assert granted.status_code == 201
    assert boss.get("/api/v1/nothing", headers=anything).status_code == 404
    assert boss.get("/livez", headers=anything).status_code == 200


@pytest.mark.parametrize(
    "alter",
    [
        lambda cursor: cursor[:-1],
        lambda cursor: cursor[: len(cursor) // 2],
        lambda cursor: cursor[1:],
        lambda cursor: cursor + "!",
        lambda cursor: cursor[:5] + " " + cursor[5:],
        lambda cursor: cursor + "=",
        lambda cursor: cursor + "A",
        lambda cursor: cursor.swapcase(),
        lambda cursor: cursor + cursor,
    ],
)
def test_a_cursor_that_was_altered(service: Service, alter: Callable[[str], str]) -> None:
    client: httpx.Client = service.client()
    for _ in range(2):
        client.post(f"/api/v1/accounts/{address()}/grants", json={"amount": 1, "source": "gift"})
    service.project()
    page = client.get("/api/v1/accounts", params={"limit": 1}).json()
    altered = client.get("/api/v1/accounts", params={"limit": 1, "cursor": alter(page["next_cursor"])})
    assert (altered.status_code, altered.json()["code"]) == (422, "invalid_cursor")
