"""A browser's token (role `user`) that tries to generate for free: it fails, or costs the full price."""

from typing import Any

import pytest

from tests.api.generating import FILM, MB, PATH, PICTURE, balance, new_user, ok
from tests.api.service import Service


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0},
        {"count": -1},
        {"count": True},
        {"count": "1"},
        {"count": 100_001},
        {"complexity": "free"},
        {"complexity": ""},
    ],
)
def test_scaling_the_price_to_nothing(service: Service, options: dict[str, Any]) -> None:
    user = new_user(service, tokens=100)
    answer = service.client("user", user).post(PATH, json={"operation": "image", "options": options})
    assert answer.status_code == 422, answer.text
    assert balance(service, user, "tokens") == (100, 0, 0)


@pytest.mark.parametrize(
    ("body", "tokens", "size"),
    [
        ({"operation": "image", "tokens": 0, "bytes": 0}, 100, 5 * MB),
        ({"operation": "IMAGE", "tokens": 1, "bytes": 1}, 100, 5 * MB),
        ({"operation": "iMaGe", "options": {"complexity": "COMPLEX"}, "tokens": 1}, 200, 5 * MB),
        ({"operation": "Video", "options": {"duration": 7}, "bytes": 5}, 1_000, 10 * MB),
        ({"operation": "video", "options": {"duration": 1}, "tokens": 0}, 500, 10 * MB),
        ({"operation": "CHAT", "tokens": 0}, 50, 0),
        ({"operation": "image", "options": {"count": 3}, "tokens": 5}, 300, 15 * MB),
        ({"operation": "image", "tokens": 150, "bytes": 6 * MB}, 150, 6 * MB),  # more than the estimate is taken
    ],
)
def test_what_is_declared_never_lowers_the_price(
    service: Service, body: dict[str, Any], tokens: int, size: int
) -> None:
    """S0-1."""
    user = new_user(service, tokens=2_000)
    made = ok(service.client("user", user).post(PATH, json=body), 201)
    assert (made["quote"]["tokens"], made["quote"]["bytes"]) == (tokens, size)
    assert balance(service, user, "tokens") == (2_000 - tokens, tokens, 0)


@pytest.mark.parametrize(
    "body",
    [
        {**FILM, "operation": "chat"},  # another operation than the model is priced for
        {**FILM, "operation": " video"},
        {**FILM, "operation": "vide\u043e"},  # a Cyrillic letter
        {**FILM, "model": "MiniMax-Hailuo-03"},
        {**FILM, "model": "MiniMax-Hailuo-02 "},
        {**FILM, "provider": "Nobody"},
        {**FILM, "options": {}},
        {**FILM, "options": {"Resolution": "1080P", "duration": 6}},
        {**FILM, "options": {"resolution": "1080P", "duration": 6.0}},
        {"operation": "music", "model": "Music 1.5", "options": {"duration": 900}},
        {"operation": "music", "model": "Music 1.5", "options": {"duration": "9"}},
        *({"operation": "video", "options": {"duration": wrong}} for wrong in (-5, 0, True, False, "6", "")),
        *({"operation": "image", "options": {"count": wrong}} for wrong in (-1, 0, True, "2")),
        {"operation": "image", "options": {"complexity": True}},
        {"operation": "music"},
        {"operation": "studio"},
        {"operation": "made-up"},
    ],
)
def test_what_has_no_price_is_not_free(service: Service, body: dict[str, Any]) -> None:
    user = new_user(service, credits=5_000, tokens=5_000)
    answer = service.client("user", user).post(PATH, json=body)
    assert answer.status_code == 422, answer.text
    assert (balance(service, user), balance(service, user, "tokens")) == ((5_000, 0, 0), (5_000, 0, 0))


@pytest.mark.parametrize(
    "body",
    [
        {"operation": "music", "tokens": 0},
        {"operation": "studio", "tokens": 0},
        {"operation": "playground", "tokens": 0},
        {"operation": "music", "bytes": 1},
        {"operation": "studio", "bytes": 1},
        {"operation": "music", "tokens": 0, "bytes": 1},
        {"operation": "made-up", "bytes": 0},
    ],
)
def test_declaring_nothing_is_not_free(service: Service, body: dict[str, Any]) -> None:
    """Where nothing estimates the tokens, they must be given (contract); only an upload takes bytes alone."""
    user = new_user(service, tokens=100)
    answer = service.client("user", user).post(PATH, json=body)
    assert answer.status_code == 422, answer.text
    assert balance(service, user, "tokens") == (100, 0, 0)


@pytest.mark.parametrize(
    ("rest", "body"),
    [
        ("/start", {}),
        ("/confirm", {"actual": {"credits": 0}}),
        ("/confirm", {"succeeded": 0}),
        ("/fail", {"outcome": "provider_error"}),
        ("/extend", {"ttl_seconds": 600_000}),
        ("/refund", {"reason": "I want it back"}),
    ],
)
def test_a_user_settles_nothing(service: Service, rest: str, body: dict[str, Any]) -> None:
    """Users cannot settle: not with other figures, not as a failure, not to have it back."""
    user = new_user(service, credits=90)
    mine = service.client("user", user)
    made = ok(mine.post(PATH, json=PICTURE), 201)["generation_id"]
    assert ok(mine.post(f"{PATH}/{made}{rest}", json=body), 403)["code"] == "forbidden"
    batch = {"operations": [{"path": f"{PATH}/{made}{rest}", "body": body}]}
    assert mine.post("/api/v1/batch", json=batch).status_code == 403
    assert balance(service, user) == (0, 90, 0)


def test_nobody_else_pays_and_nobody_elses_is_touched(service: Service) -> None:
    rich, user = new_user(service, credits=5_000), new_user(service)
    worker, mine, theirs = service.client("worker", "w"), service.client("user", user), service.client("user", rich)
    for path in (PATH, PATH + "/check"):
        assert ok(mine.post(path, json={**PICTURE, "user_id": rich}), 403)["code"] == "not_own"
    made = ok(theirs.post(PATH, json=PICTURE), 201)["generation_id"]
    assert ok(mine.post(f"{PATH}/{made}/cancel"), 403)["code"] == "not_own"
    assert ok(mine.post(f"{PATH}/none/cancel"), 404)["code"] == "not_found"
    for action in ("confirm", "rollback"):
        assert mine.post("/api/credits/me", json={"action": action, "transaction_id": made}).status_code == 403
    service.project()
    for path in (f"{PATH}/{made}", f"{PATH}/{made}/explain", f"{PATH}?user_id={rich}"):
        assert mine.get(path).status_code == 403
    assert ok(mine.get(PATH))["items"] == []
    # A part of another's work is another's.
    assert mine.post(PATH, json={**PICTURE, "parent_id": made}).json()["code"] == "unknown_parent"
    # Whose it is must be said by those who act for others.
    assert ok(worker.post(PATH, json=PICTURE), 422)["field"] == "user_id"
    auditor = service.client("auditor", "a")
    assert ok(auditor.post(PATH + "/check", json={**PICTURE, "user_id": rich}))["can_proceed"] is True
    assert auditor.post(PATH, json={**PICTURE, "user_id": rich}).status_code == 403
    other = service.client("org_admin", org="globex")
    assert ok(other.post(f"{PATH}/{made}/confirm"), 404)["code"] == "not_found"
    assert balance(service, rich) == (4_910, 90, 0)


def test_the_price_is_that_of_what_is_recorded(service: Service) -> None:
    """Whoever asks for the cheap options gets a generation of the cheap options."""
    user = new_user(service, credits=320)
    cheap = {**FILM, "options": {"resolution": "512P", "duration": 6, "Resolution": "1080P", "price": 0, "credits": 0}}
    made = ok(service.client("user", user).post(PATH, json=cheap), 201)
    assert (made["quote"]["credits"], made["quote"]["item"]) == (320, "MiniMax-Hailuo-02 512P 6s")
    service.project()
    told = ok(service.client("worker", "w").get(f"{PATH}/{made['generation_id']}"))
    assert (told["options"]["resolution"], told["model"]) == ("512P", "MiniMax-Hailuo-02")


def test_one_balance_is_held_once(service: Service) -> None:
    user = new_user(service, credits=90)
    mine = service.client("user", user)
    answers = [mine.post(PATH, json=PICTURE).status_code for _ in range(3)]
    assert answers == [201, 402, 402]
    assert balance(service, user) == (0, 90, 0)
