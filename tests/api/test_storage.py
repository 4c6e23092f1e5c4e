"""S0: what is stored, limits, and deleting, which frees the bytes."""

from typing import Any

import httpx

from tests.api.generating import MB, PATH, limit_storage, new_user, ok, store
from tests.api.service import Service


def used(client: httpx.Client) -> tuple[int, int]:
    told = ok(client.get("/api/v1/storage/me"))
    return told["used"], told["limit"]


def test_used_limit_percent_and_formatted(service: Service) -> None:
    """S0-8."""
    user = new_user(service, tokens=500)
    mine = service.client("user", user)
    assert used(mine) == (0, 1024 * MB)  # SCRIP_DEFAULT_STORAGE_LIMIT
    limit_storage(service, user, 200 * MB)
    store(service, user, 195 * MB)
    told = ok(mine.get("/api/v1/storage/me"))
    assert (told["used"], told["held"], told["available"]) == (195 * MB, 0, 5 * MB)
    assert (told["percent"], told["formatted"]) == (97.5, "195 MB of 200 MB (97.5 %)")
    ok(mine.post(PATH, json={"operation": "image"}), 201)  # exactly enough
    held = ok(mine.get("/api/v1/storage/me"))
    assert (held["used"], held["held"], held["available"], held["percent"]) == (195 * MB, 5 * MB, 0, 97.5)
    worker = service.client("worker", "w")
    assert ok(worker.get("/api/v1/storage/me", params={"user_id": user}))["used"] == 195 * MB
    assert ok(worker.get("/api/v1/storage/me"))["user_id"] == "w"
    assert mine.get("/api/v1/storage/me", params={"user_id": "w"}).status_code == 403


def test_limits_are_the_admins(service: Service) -> None:
    user, boss = new_user(service), service.client()
    mine, path = service.client("user", user), f"/api/v1/users/{user}/storage-limit"
    for client in (mine, service.client("worker", "w"), service.client("auditor", "a")):
        assert client.put(path, json={"bytes": 10**15}).status_code == 403
    told = ok(boss.put(path, json={"bytes": 0}))
    assert (told["user_id"], told["limit"]) == (user, 0)
    assert ok(mine.post(PATH + "/check", json={"operation": "upload", "bytes": 1}))["reason"] == "insufficient_storage"
    assert ok(boss.put(path, json={"bytes": None}))["limit"] is None
    assert used(mine) == (0, 1024 * MB)
    for bad in ({}, {"bytes": -1}, {"bytes": 10**15 + 1}, {"bytes": "5"}, {"bytes": 1.0}):
        assert boss.put(path, json=bad).status_code == 422


def test_what_is_stored_counts_as_it_is_and_deleting_frees_it(service: Service) -> None:
    """S0-5."""
    user = new_user(service)
    mine, worker = service.client("user", user), service.client("worker", "w")
    limit_storage(service, user, 10 * MB)
    sizes = {store(service, user, size): size for size in (2 * MB, 5 * MB, 3 * MB)}
    # The worker stored more than was held: recorded as it is, and the next one is refused.
    made = ok(worker.post(PATH, json={"user_id": user, "operation": "upload", "bytes": 0}), 201)["generation_id"]
    ok(worker.post(f"{PATH}/{made}/confirm", json={"content": {"url": "https://x.example/1", "bytes": 4 * MB}}))
    assert used(mine) == (14 * MB, 10 * MB)
    assert ok(mine.post(PATH + "/check", json={"operation": "upload", "bytes": 1}))["storage_percent"] == 140.0

    service.project()
    by_size, cursor = [], None
    while True:
        params: dict[str, Any] = {"sort": "size", "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = ok(mine.get("/api/v1/contents", params=params))
        by_size += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [each["bytes"] for each in by_size] == [5 * MB, 4 * MB, 3 * MB, 2 * MB]
    assert [each["url"] for each in by_size] == [None, "https://x.example/1", None, None]
    by_age = ok(worker.get("/api/v1/contents", params={"user_id": user, "sort": "age"}))["items"]
    assert [each["bytes"] for each in by_age] == [2 * MB, 5 * MB, 3 * MB, 4 * MB]
    assert by_size[0]["formatted"] == "5 MB"

    largest = by_size[0]["content_id"]
    other = service.client("user", new_user(service))
    assert other.delete(f"/api/v1/contents/{largest}").status_code == 403
    assert other.get("/api/v1/contents", params={"user_id": user}).status_code == 403
    assert service.client("auditor", "a").delete(f"/api/v1/contents/{largest}").status_code == 403
    assert service.client(org="globex").delete(f"/api/v1/contents/{largest}").status_code == 404
    gone = ok(mine.delete(f"/api/v1/contents/{largest}"))
    assert (gone["content_id"], gone["freed"]) == (largest, sizes[largest])
    assert used(mine) == (9 * MB, 10 * MB)
    assert ok(mine.delete(f"/api/v1/contents/{largest}"), 404)["code"] == "not_found"
    ok(service.client().delete(f"/api/v1/contents/{by_size[2]['content_id']}"))
    assert used(mine) == (6 * MB, 10 * MB)
    service.project()
    left = ok(mine.get("/api/v1/contents", params={"min_position": gone["position"]}))["items"]
    assert [each["bytes"] for each in left] == [2 * MB, 4 * MB]


def test_a_contents_id_is_used_once(service: Service) -> None:
    user, worker = new_user(service, tokens=200), service.client("worker", "w")
    content = store(service, user, 5)
    made = ok(worker.post(PATH, json={"user_id": user, "operation": "chat"}), 201)["generation_id"]
    twice = {"contents": [{"id": content, "bytes": 5}]}
    assert ok(worker.post(f"{PATH}/{made}/confirm", json=twice), 409)["code"] == "exists"
    for bad in ({"bytes": -1}, {}, {"id": "c", "bytes": 1, "url": ""}):
        assert worker.post(f"{PATH}/{made}/confirm", json={"content": bad}).status_code == 422
    both = {"content": {"bytes": 1}, "contents": [{"bytes": 1}]}
    assert worker.post(f"{PATH}/{made}/confirm", json=both).status_code == 422
