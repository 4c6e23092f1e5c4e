"""The price book: every price of S4 and S2 by quote, versions, and what is not priced."""

from typing import Any

import pytest

from tests.api.service import Service
from tests.conftest import move_clock

S4 = [
    ("MiniMax-Hailuo-02", {"resolution": "512P", "duration": 6}, 320),
    ("MiniMax-Hailuo-02", {"resolution": "512P", "duration": 10}, 420),
    ("MiniMax-Hailuo-02", {"resolution": "768P", "duration": 6}, 680),
    ("MiniMax-Hailuo-02", {"resolution": "768P", "duration": 10}, 1_240),
    ("MiniMax-Hailuo-02", {"resolution": "1080P", "duration": 6}, 1_100),
    ("T2V-01-Director", {}, 980),
    ("I2V-01-Director", {}, 980),
    ("S2V-01", {}, 1_420),
    ("Gen-4 Turbo", {"duration": 5}, 620),
    ("Gen-4 Turbo", {"duration": 10}, 1_120),
    ("Gen-3a Turbo", {"duration": 5}, 620),
    ("Gen-3a Turbo", {"duration": 10}, 1_120),
    ("Gen-4 Aleph", {"duration": 10}, 3_120),
    ("FLUX.1 Kontext [pro]", {}, 110),
    ("FLUX.1 Kontext [max]", {}, 190),
    ("FLUX 1.1 [pro] Ultra", {}, 150),
    ("FLUX.1 [dev]", {}, 90),
    ("FLUX.1 [pro]", {}, 130),
    ("Music 1.5", {"duration": 90}, 90),
]
S2 = [
    ("1024x1024", "standard", "0.04"),
    ("1024x1024", "hd", "0.08"),
    ("1024x1792", "standard", "0.08"),
    ("1024x1792", "hd", "0.12"),
    ("1792x1024", "standard", "0.08"),
    ("1792x1024", "hd", "0.12"),
]
QUOTES = "/api/v1/quotes"


@pytest.mark.parametrize(("model", "options", "price"), S4)
def test_every_price_in_credits(service: Service, model: str, options: dict[str, Any], price: int) -> None:
    """S4-2."""
    answer = service.client("user", "u").post(QUOTES, json={"model": model, "options": options})
    assert (answer.status_code, answer.json()["credits"], answer.json()["price_version"]) == (200, price, 1)
    assert answer.json()["usd"] is None


@pytest.mark.parametrize(("size", "quality", "usd"), S2)
def test_every_price_in_usd(service: Service, size: str, quality: str, usd: str) -> None:
    """S2-2."""
    body = {"operation": "image", "options": {"size": size, "quality": quality}}
    told = service.client("user", "u").post(QUOTES, json=body).json()
    assert (told["usd"], told["currency"], told["credits"]) == (usd, "USD", None)


def test_count_multiplies(service: Service) -> None:
    body = {"model": "S2V-01", "options": {"count": 3}}
    assert service.client().post(QUOTES, json=body).json()["credits"] == 4_260


def test_what_has_no_price_is_refused_with_what_has(service: Service) -> None:
    """S4-2."""
    body = {"model": "MiniMax-Hailuo-02", "options": {"resolution": "1080P", "duration": 10}}
    answer = service.client().post(QUOTES, json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "unpriced")
    assert problem["priced"] == [
        f"MiniMax-Hailuo-02 {each}" for each in ("512P 6s", "512P 10s", "768P 6s", "768P 10s", "1080P 6s")
    ]
    assert "1080P 6s" in problem["detail"]
    assert service.client().post(QUOTES, json={"model": "Veo 3"}).json()["code"] == "unpriced"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": ""},
        {"model": 5},
        {"model": "m", "options": {"x": None}},
        {"model": "m", "options": {"duration": 6.0}},
        {"model": "m", "options": {"count": 10**9}},
    ],
)
def test_questions_that_are_none(service: Service, body: dict[str, Any]) -> None:
    assert service.client().post(QUOTES, json=body).status_code == 422


def test_a_new_version(service: Service) -> None:
    """S4-2."""
    admin = service.client("admin", "root")
    read = admin.get("/api/v1/prices")
    assert (read.json()["version"], read.headers["etag"], len(read.json()["entries"])) == (1, '"1"', 25)
    entries = [
        *read.json()["entries"],
        {
            "model": "Veo 3",
            "operation": "video",
            "credits": 50,
            "usd": "0.50",
            "rates": {"seconds": 7},
            "complexity": {"high": 150},
            "bulk": [{"count": 10, "percent_off": 20}],
        },
    ]
    published = admin.put("/api/v1/prices", json={"entries": entries}, headers={"If-Match": '"1"'})
    assert (published.status_code, published.json()["version"]) == (200, 2), published.text
    stale = admin.put("/api/v1/prices", json={"entries": entries}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"], stale.json()["current"]) == (412, "stale_version", 2)
    assert admin.put("/api/v1/prices", json={"entries": entries}, headers={"If-Match": "x"}).status_code == 422
    now = admin.get("/api/v1/prices").json()
    assert (now["version"], now["latest"], [each["version"] for each in now["upcoming"]]) == (1, 2, [2])
    assert service.client().post(QUOTES, json={"model": "Veo 3"}).status_code == 422
    move_clock(service.database, "6 seconds")
    assert admin.get("/api/v1/prices").json()["entries"] == entries  # as it was sent, so it can be sent again
    told = service.client().post(QUOTES, json={"model": "Veo 3", "options": {"count": 10, "complexity": "high"}}).json()
    assert (told["credits"], told["usd"], told["price_version"]) == (600, "6.00", 2)
    old = admin.get("/api/v1/prices", params={"version": 1}).json()
    assert (old["version"], len(old["entries"])) == (1, 25)
    assert admin.get("/api/v1/prices", params={"version": 99}).status_code == 404


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([{"model": "m"}], "invalid_prices"),
        ([{"credits": 1}], "invalid_prices"),
        ([{"model": "m", "credits": 1}, {"model": "M", "credits": 2}], "invalid_prices"),
        ([{"model": "m", "credits": -1}], "invalid_value"),
        ([{"model": "m", "usd": 0.04}], "invalid_value"),
        ([{"model": "m", "usd": "0.0000001"}], "invalid_value"),
        ([{"model": "m", "credits": 1, "colour": "red"}], "unknown_field"),
    ],
)
def test_price_books_that_are_refused(service: Service, entries: list[dict[str, Any]], code: str) -> None:
    answer = service.client("admin", "root").put("/api/v1/prices", json={"entries": entries})
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


def test_a_price_takes_effect_five_seconds_ahead_at_the_earliest(service: Service) -> None:
    body = {"entries": [{"model": "m", "credits": 1}], "effective_at": "2001-01-01T00:00:00Z"}
    answer = service.client("admin", "root").put("/api/v1/prices", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "effective_at")
