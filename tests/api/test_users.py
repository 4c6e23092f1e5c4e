"""Everything about one user in one call, and the list of users."""

import secrets
from typing import Any

import pytest

from tests.api.service import ORG, Service

PATH = "/api/v1/users"
MODEL = {"operation": "video", "model": "MiniMax-Hailuo-02", "options": {"resolution": "512P", "duration": 6}}


@pytest.fixture(scope="module")
def ann(service: Service) -> str:
    """A user with a bit of everything."""
    name = f"ann{secrets.token_hex(4)}"
    boss, worker = service.client(), service.client("worker")
    account = f"/api/v1/accounts/user:{name}:credits"
    assert boss.post(account + "/grants", json={"amount": 1_000, "source": "gift"}).status_code == 201
    boss.post("/api/groups", json={"id": f"g-{name}", "name": "Films", "video_limit": 5})
    boss.post("/api/group-members", json={"group_id": f"g-{name}", "user_ids": [name]})
    asked = {"user_id": name, **MODEL}
    made = worker.post("/api/v1/generations", json=asked)
    assert made.status_code == 201, made.text
    done = worker.post(
        f"/api/v1/generations/{made.json()['generation_id']}/confirm",
        json={"content": {"id": f"c-{name}", "url": "https://x.example/1", "bytes": 2_000_000}},
    )
    assert done.status_code == 200, done.text
    assert worker.post("/api/v1/generations", json=asked).status_code == 201  # still held
    refused = worker.post("/api/v1/generations", json={**asked, "options": {"resolution": "768P", "duration": 10}})
    assert refused.status_code == 402
    service.project()
    return name


def test_everything_about_one_user_in_one_call(service: Service, ann: str) -> None:
    """S4-5."""
    told = service.client().get(f"{PATH}/{ann}").json()
    (account,) = told["accounts"]
    assert (account["address"], account["debited"], account["reserved"]) == (f"user:{ann}:credits", 320, 320)
    assert account["available"] == 360
    assert [hold["amount"] for hold in told["holds"]] == [320]
    assert [each["status"] for each in told["generations"]] == ["refused", "held", "completed"]
    assert told["storage"]["used"] == 2_000_000
    assert told["budget"]["monthly_budget"] == "10.00"
    assert [group["name"] for group in told["groups"]] == ["Films"]
    assert [each["reason"] for each in told["refusals"]] == ["insufficient_credits"]
    assert (told["purchases"], told["exists"]) == ([], True)


def test_refusals_of_the_budget_are_told_in_money(service: Service) -> None:
    """The contract: USD travels as decimal text."""
    name, worker = f"rich{secrets.token_hex(4)}", service.client("worker")
    service.client().post(f"/api/v1/accounts/user:{name}:tokens/grants", json={"amount": 10**6, "source": "gift"})
    image = {"operation": "image", "options": {"size": "1024x1024", "quality": "hd", "count": 200}}
    refused = worker.post("/api/v1/generations", json={"user_id": name, "bytes": 1, **image})
    assert (refused.status_code, refused.json()["code"]) == (402, "budget_exceeded"), refused.text
    service.project()
    (told,) = service.client().get(f"{PATH}/{name}").json()["refusals"]
    (budget,) = [check for check in told["checks"] if check["resource"] == "budget"]
    assert (told["deficit"], budget["needed"], budget["available"]) == ("6.00", "16.00", "10.00")


def test_the_timeline_tells_it_in_words_page_by_page(service: Service, ann: str) -> None:
    client = service.client("auditor")
    whole = client.get(f"{PATH}/{ann}").json()["timeline"]
    texts = [line["text"] for line in whole["items"]]
    assert whole["next_cursor"] is None
    assert texts[0] == "Generation of video with MiniMax-Hailuo-02 refused (insufficient_credits)."
    assert texts[-2:] == [f"Joined the group g-{ann}.", "1000 credits granted."]
    for said in ("held", "charged from a hold", "bytes stored", "completed"):
        assert any(said in text for text in texts), texts
    paged: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"{PATH}/{ann}", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        paged += page["timeline"]["items"]
        cursor = page["timeline"]["next_cursor"]
    assert paged == whole["items"]


def test_who_may_see_a_user(service: Service, ann: str) -> None:
    for role in ("worker", "org_admin", "auditor", "admin"):
        assert service.client(role).get(f"{PATH}/{ann}").status_code == 200
    assert service.client("user", ann).get(f"{PATH}/{ann}").status_code == 200
    assert service.client("user", "bob").get(f"{PATH}/{ann}").status_code == 403
    assert service.client("user", ann).get(PATH).status_code == 403
    assert service.client(None).get(f"{PATH}/{ann}").status_code == 401
    there = service.client(org="globex").get(f"{PATH}/{ann}").json()
    assert (there["exists"], there["accounts"], there["generations"]) == (False, [], [])
    assert there["timeline"]["items"] == []


def test_users_are_listed_and_searched(service: Service, ann: str) -> None:
    boss = service.client()
    prefix = f"list{secrets.token_hex(3)}"
    names = sorted(f"{prefix}{end}" for end in ("a", "a-b", "a:b", "b"))
    for name in names:
        for unit in ("credits", "tokens"):
            boss.post(f"/api/v1/accounts/user:{name}:{unit}/grants", json={"amount": 5, "source": "gift"})
    only_asked = f"{prefix}z"
    service.client("worker").post("/api/v1/generations", json={"user_id": only_asked, **MODEL})
    service.project()
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = f"?prefix={prefix}&limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = boss.get(PATH + query).json()
        found += [row["user_id"] for row in page["items"]]
        cursor = page["next_cursor"]
    assert found == [*names, only_asked]
    (row,) = boss.get(PATH, params={"prefix": ann}).json()["items"]
    assert (row["credits_available"], row["credits_reserved"], row["storage_used"]) == (360, 320, 2_000_000)
    assert service.client(org=f"not-{ORG}").get(PATH).json()["items"] == []


def test_which_of_the_users_in_a_pasted_list_are_known(service: Service, ann: str) -> None:
    """S1-5: bulk adding previews unknown and repeated ids."""
    boss, member = service.client(), f"m{secrets.token_hex(4)}"
    boss.post("/api/groups", json={"id": f"g-{member}", "name": "Films"})
    boss.post("/api/group-members", json={"group_id": f"g-{member}", "user_ids": [member]})
    service.project()
    told = boss.get(PATH, params={"ids": f"{ann}, {member},nobody-yet,{ann},,bad id,ann"}).json()
    assert {row["user_id"] for row in told["items"]} == {ann, member}
    assert (told["unknown"], told["repeated"], told["invalid"]) == (["nobody-yet", "ann"], [ann], ["bad id"])
    assert boss.get(PATH, params={"ids": ""}).json()["items"] == []
    many = boss.get(PATH, params={"ids": ",".join(f"u{number}" for number in range(201))})
    assert (many.status_code, many.json()["limit"]) == (422, 200)
    assert service.client(org="globex").get(PATH, params={"ids": ann}).json()["unknown"] == [ann]
    assert "unknown" not in boss.get(PATH).json()
