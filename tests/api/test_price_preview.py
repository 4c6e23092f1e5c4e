"""S4-2: what a new price book changes and what last week would have cost by it, before anything is published."""

import secrets
from typing import Any

import pytest

from tests.api.generating import FILM, PATH, PICTURE, ok
from tests.api.service import Service
from tests.conftest import move_clock

PRICES = "/api/v1/prices"
ORG = f"pp{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def used(service: Service) -> Service:
    """Two films and a picture that were paid for, a picture of which half succeeded, and a film that failed."""
    boss, worker = service.client(org=ORG), service.client("worker", org=ORG)
    for unit in ("credits", "tokens"):
        ok(boss.post(f"/api/v1/accounts/user:ann:{unit}/grants", json={"amount": 10_000, "source": "gift"}), 201)

    def made(body: dict[str, Any], end: str = "confirm", **told: Any) -> None:
        id_ = ok(worker.post(PATH, json={"user_id": "ann", **body}), 201)["generation_id"]
        ok(worker.post(f"{PATH}/{id_}/{end}", json=told))

    made(FILM)
    made(FILM)
    made(FILM, "fail", outcome="provider_error")
    made(PICTURE)
    made({**PICTURE, "options": {"count": 2}}, succeeded=1)
    made({"operation": "chat"})
    service.project()
    return service


def changed(entries: list[dict[str, Any]], model: str, **terms: Any) -> list[dict[str, Any]]:
    return [each | terms if each.get("model") == model else each for each in entries]


def test_what_a_new_book_changes_and_what_the_week_would_have_cost(used: Service) -> None:
    """S4-2."""
    admin = used.client("admin", "root")
    entries = ok(admin.get(PRICES))["entries"]
    body = [each for each in entries if each.get("model") != "FLUX.1 [dev]"]  # pictures lose their price
    body = changed(body, "MiniMax-Hailuo-02", credits=2_000)
    body.append({"model": "Veo 3", "operation": "video", "credits": 50})
    told = ok(used.client("auditor", org=ORG).post(f"{PRICES}/preview", json={"entries": body}))
    assert told["totals"]["old"] == {"credits": 2_380, "tokens": 50, "usd": "0.00", "currency": "USD"}
    assert told["totals"]["charged"]["credits"] == 2_380
    assert told["totals"]["new"] == {"credits": 4_000, "tokens": 50, "usd": "0.00", "currency": "USD"}
    assert (told["generations"], told["unpriced"], told["truncated"]) == (5, 2, False)
    assert (told["against"], told["version"]) == (1, 2)
    kinds = {each["change"] for each in told["difference"]}
    assert kinds == {"added", "changed", "removed"}
    (film,) = [each for each in told["difference"] if each["item"] == "MiniMax-Hailuo-02 1080P 6s"]
    assert (film["old"]["credits"], film["new"]["credits"]) == (1_100, 2_000)
    (use,) = [each for each in told["usage"] if each["model"] == FILM["model"]]
    assert (use["generations"], use["old"]["credits"], use["new"]["credits"]) == (2, 2_200, 4_000)
    (half,) = [each for each in told["usage"] if each["options"] == {"count": 2}]
    assert (half["old"]["credits"], half["new"], half["succeeded"]) == (90, None, 1)


def test_nothing_is_written_and_a_bad_book_is_refused_as_by_publishing(used: Service) -> None:
    admin = used.client("admin", "root")
    before = ok(admin.get(PRICES))
    ok(admin.post(f"{PRICES}/preview", json={"entries": [{"model": "m", "credits": 1}]}))
    assert ok(admin.get(PRICES)) == before
    wrong = admin.post(f"{PRICES}/preview", json={"entries": [{"credits": 1}]})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_prices")
    early = {"entries": [{"model": "m", "credits": 1}], "effective_at": "2001-01-01T00:00:00Z"}
    assert admin.post(f"{PRICES}/preview", json=early).json()["field"] == "effective_at"


def test_admins_see_the_platform_and_auditors_their_organisation(used: Service) -> None:
    body = {"entries": [{"model": "m", "credits": 1}]}
    elsewhere = ok(used.client("auditor", org="globex").post(f"{PRICES}/preview", json=body))
    assert (elsewhere["generations"], elsewhere["usage"]) == (0, [])
    assert ok(used.client("admin", "root", org="platform").post(f"{PRICES}/preview", json=body))["generations"] == 5
    assert used.client("org_admin", org=ORG).post(f"{PRICES}/preview", json=body).status_code == 403


def test_an_old_version_is_found_and_published_again(used: Service) -> None:
    """S4-2: a console reverts by publishing an old version's entries."""
    admin = used.client("admin", "root")
    first = ok(admin.get(PRICES, params={"version": 1}))["entries"]
    second = ok(admin.put(PRICES, json={"entries": changed(first, "S2V-01", credits=1)}))
    move_clock(used.database, "6 seconds")
    revert = ok(admin.put(PRICES, json={"entries": first}))
    used.project()
    query = {"min_position": revert["position"]}
    rows = ok(used.client("auditor").get(f"{PRICES}/versions", params=query))["items"]
    assert [(row["version"], row["entries"], row["in_force"]) for row in rows] == [
        (3, 25, False),
        (2, 25, True),
        (1, 25, False),
    ]
    assert rows[0]["position"] == revert["position"] > second["position"]
    assert "root" in rows[0]["actor"]
    page = ok(admin.get(f"{PRICES}/versions", params={"limit": 1}))
    rest = ok(admin.get(f"{PRICES}/versions", params={"cursor": page["next_cursor"]}))
    assert [row["version"] for row in page["items"] + rest["items"]] == [3, 2, 1]
    preview = ok(admin.post(f"{PRICES}/preview", json={"entries": first}))
    assert (preview["against"], preview["difference"]) == (3, [])
