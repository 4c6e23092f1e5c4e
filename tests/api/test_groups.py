"""S1: groups with limits over HTTP, on a real database: one API and one organisation for each test."""

import csv
import io
import secrets
from typing import Any

import httpx
import pytest

from tests.api.service import Service
from tests.conftest import move_clock


class Organisation:
    """An organisation of one test's own, and its callers."""

    def __init__(self, service: Service) -> None:
        self.service, self.org = service, f"o{secrets.token_hex(4)}"
        self.admin, self.worker = self.client("org_admin", "boss"), self.client("worker", "w")

    def client(self, role: str, sub: str) -> httpx.Client:
        return self.service.client(role, sub, self.org)

    def group(self, *users: str, **fields: Any) -> str:
        """A new group with these members."""
        answer = self.admin.post("/api/groups", json={"name": "Studio", **fields})
        assert answer.status_code == 201, answer.text
        group: str = answer.json()["id"]
        if users:
            self.members(group, *users)
        return group

    def members(self, group: str, *users: str) -> Any:
        answer = self.admin.post("/api/group-members", json={"group_id": group, "user_ids": list(users)})
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def read(self, group: str) -> Any:
        answer = self.admin.get(f"/api/groups/{group}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def edit(self, group: str, **fields: Any) -> Any:
        answer = self.admin.patch(f"/api/groups/{group}", json=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def track(self, user: str, type_: str = "image", key: str | None = None) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.worker.post("/api/track-generation", json={"user_id": user, "type": type_}, headers=headers)

    def use(self, user: str, count: int, type_: str = "image") -> None:
        for _ in range(count):
            assert self.track(user, type_).json()["allowed"] is True


@pytest.fixture
def acme(service: Service) -> Organisation:
    return Organisation(service)


def test_a_group_is_created_read_changed_and_deleted(acme: Organisation) -> None:
    """S1-1: create, read, update, delete; name, description, separate limits for images and for videos."""
    body = {"id": "g1", "name": "Studio A", "description": "Try-on", "image_limit": 10, "period": "month"}
    created = acme.admin.post("/api/groups", json=body | {"token_quotas": {"forecast": 8}})
    assert created.status_code == 201
    told = created.json()
    expected = {"id": "g1", "name": "Studio A", "description": "Try-on", "image_limit": 10, "video_limit": None}
    expected |= {"token_quotas": {"forecast": 8}, "period": "month", "member_count": 0, "status": "green", "percent": 0}
    expected |= {"usage": {"image": 0, "video": 0}, "remaining": {"image": 10, "video": None}}
    expected |= {"token_usage": {"forecast": 0}, "token_remaining": {"forecast": 8}}
    assert {name: told[name] for name in expected} == expected
    read = acme.read("g1")
    assert {name: read[name] for name in expected} == expected
    assert read["period_start"] < read["period_end"]
    changed = acme.edit("g1", name="B", video_limit=0, token_quotas={"forecast": None, "general": 1})
    assert (changed["name"], changed["description"], changed["image_limit"]) == ("B", "Try-on", 10)
    assert (changed["video_limit"], changed["token_quotas"]) == (0, {"general": 1})
    assert acme.admin.post("/api/groups", json=body).status_code == 409
    deleted = acme.admin.delete("/api/groups/g1")
    assert (deleted.status_code, deleted.json()["deleted"]) == (200, True)
    for answer in (acme.admin.get("/api/groups/g1"), acme.admin.delete("/api/groups/g1")):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert acme.admin.post("/api/groups", json=body).status_code == 409


def test_null_removes_a_limit_and_what_is_absent_stays(acme: Organisation) -> None:
    """S1-1: null is unlimited; a field that is not named keeps its value."""
    group = acme.group(image_limit=1, video_limit=2)
    assert acme.edit(group, name="Other")["image_limit"] == 1
    changed = acme.edit(group, image_limit=None)
    assert (changed["image_limit"], changed["remaining"]["image"], changed["video_limit"]) == (None, None, 2)


@pytest.mark.parametrize(
    ("body", "field", "limit"),
    [
        ({"name": "g", "image_limit": -1}, "image_limit", 0),
        ({"name": "g", "video_limit": 10**12 + 1}, "video_limit", 10**12),
        ({"name": "g", "image_limit": "5"}, "image_limit", None),
        ({"name": ""}, "name", 1),
        ({"name": "x" * 256}, "name", 255),
        ({"name": " "}, "name", None),
        ({"name": None}, "name", None),
        ({}, "name", None),
        ({"name": "g", "period": "year"}, "period", "'total', 'day', 'week' or 'month'"),
        ({"name": "g", "id": "a b"}, "id", None),
        ({"name": "g", "colour": "red"}, "colour", None),
    ],
)
def test_values_that_no_group_has(acme: Organisation, body: dict[str, Any], field: str, limit: object) -> None:
    """S1-6: input validation; the answer names the field and the limit."""
    answer = acme.admin.post("/api/groups", json=body)
    told = answer.json()
    assert (answer.status_code, told["field"], told.get("limit")) == (422, field, limit), told


def test_a_change_must_name_something_and_only_what_was_read(acme: Organisation) -> None:
    group = acme.group()
    assert acme.admin.patch(f"/api/groups/{group}", json={}).status_code == 422
    assert acme.admin.patch(f"/api/groups/{group}", json={"name": None}).status_code == 422
    tag = acme.admin.get(f"/api/groups/{group}").headers["etag"]
    for expected in (200, 412):
        answer = acme.admin.patch(f"/api/groups/{group}", json={"image_limit": 3}, headers={"If-Match": tag})
        assert answer.status_code == expected, answer.text
    assert answer.json()["code"] == "stale_version"


def test_members_one_result_for_each(acme: Organisation) -> None:
    """S1-2: add and remove users, in bulk; each is told what happened."""
    group = acme.group()
    results = acme.members(group, "ann", "bob", "ann")
    assert [(each["user_id"], each["status"]) for each in results] == [
        ("ann", "added"),
        ("bob", "added"),
        ("ann", "already_member"),
    ]
    assert [each["status"] for each in acme.members(group, "bob", "cleo")] == ["already_member", "added"]
    assert acme.members(group, "bob")[0]["status"] == "already_member"
    assert acme.read(group)["member_count"] == 3
    body = {"group_id": group, "user_ids": ["bob", "zoe"]}
    removed = acme.admin.post("/api/group-members/remove", json=body).json()
    assert [each["status"] for each in removed["results"]] == ["removed", "not_a_member"]
    again = acme.admin.request("DELETE", "/api/group-members", json=body).json()
    assert [each["status"] for each in again["results"]] == ["not_a_member", "not_a_member"]
    acme.service.project()
    page = acme.admin.get(f"/api/groups/{group}/members", params={"limit": 1}).json()
    assert [row["user_id"] for row in page["items"]] == ["ann"]
    rest = acme.admin.get(f"/api/groups/{group}/members", params={"cursor": page["next_cursor"]}).json()
    assert ([row["user_id"] for row in rest["items"]], rest["next_cursor"]) == (["cleo"], None)
    assert acme.admin.get("/api/groups/none/members").status_code == 404
    missing = acme.admin.post("/api/group-members", json={"group_id": "none", "user_ids": ["ann"]})
    assert missing.status_code == 404


def test_a_call_names_at_most_a_thousand_users(acme: Organisation) -> None:
    group = acme.group()
    for users, limit in (([f"u{number}" for number in range(1_001)], 1_000), ([], 1)):
        answer = acme.admin.post("/api/group-members", json={"group_id": group, "user_ids": users})
        assert (answer.status_code, answer.json()["field"], answer.json()["limit"]) == (422, "user_ids", limit)


def test_the_same_key_adds_once_and_answers_the_same(acme: Organisation) -> None:
    group = acme.group()
    body = {"group_id": group, "user_ids": ["ann"]}
    first, second = (
        acme.admin.post("/api/group-members", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert first.json()["results"] == [{"user_id": "ann", "status": "added"}]
    assert (second.json(), second.headers["idempotency-replayed"]) == (first.json(), "true")


def test_at_the_limit_further_generations_are_refused(acme: Organisation) -> None:
    """S1-3: track generation(user, image|video) -> allowed or an error; at the limit further ones are refused."""
    group = acme.group("ann", "bob", image_limit=2)
    first = acme.track("ann").json()
    assert (first["allowed"], first["error"], first["group_id"]) == (True, None, group)
    assert (first["limit"], first["used"], first["remaining"]) == (2, 1, 1)
    assert acme.track("bob").json()["remaining"] == 0
    refused = acme.track("ann")
    told = refused.json()
    assert refused.status_code == 200
    assert (told["allowed"], told["reason"], told["group_id"]) == (False, "group_limit", group)
    assert (told["limit"], told["used"], told["remaining"]) == (2, 2, 0)
    assert "image limit" in told["error"]
    assert acme.track("ann", "video").json()["allowed"] is True
    assert acme.read(group)["usage"] == {"image": 2, "video": 1}
    for body, field in (({"user_id": "ann", "type": "song"}, "type"), ({"type": "image"}, "user_id")):
        answer = acme.worker.post("/api/track-generation", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_zero_blocks_null_and_no_group_do_not(acme: Organisation) -> None:
    """S1-1: null is unlimited, 0 blocks; a user in no group is not limited."""
    group = acme.group("ann", image_limit=0)
    told = acme.track("ann").json()
    assert (told["allowed"], told["limit"], told["remaining"]) == (False, 0, 0)
    assert (acme.read(group)["status"], acme.read(group)["percent"]) == ("red", 100)
    unlimited = acme.track("ann", "video").json()
    assert (unlimited["allowed"], unlimited["group_id"], unlimited["limit"]) == (True, group, None)
    free = acme.track("nobody").json()
    assert (free["allowed"], free["group_id"], free["limit"], free["used"], free["remaining"]) == (
        *(True, None, None),
        *(None, None),
    )


def test_every_group_of_a_user_counts_and_the_tightest_refuses(acme: Organisation) -> None:
    """S1-3: a user in two groups counts in both, or, where one refuses, in none."""
    wide, tight = acme.group("ann", image_limit=10), acme.group("ann", image_limit=1)
    assert acme.track("ann").json()["group_id"] == tight
    assert acme.track("ann").json() | {"error": None, "position": ""} == {
        "allowed": False,
        "error": None,
        "reason": "group_limit",
        "group_id": tight,
        "limit": 1,
        "used": 1,
        "remaining": 0,
        "position": "",
    }
    assert [acme.read(group)["usage"]["image"] for group in (wide, tight)] == [1, 1]


def test_a_replay_is_the_first_answer_again(acme: Organisation) -> None:
    """Contract: same key, same answer, refusals included, whatever happened since; and it counts once."""
    group = acme.group("ann", image_limit=2)
    first = acme.track("ann", key="a")
    acme.use("ann", 1)
    refused = acme.track("ann", key="b")
    acme.edit(group, image_limit=100)
    acme.use("ann", 1)
    for key, before in (("a", first), ("b", refused)):
        again = acme.track("ann", key=key)
        assert (again.json(), again.headers["idempotency-replayed"]) == (before.json(), "true")
    assert acme.read(group)["usage"]["image"] == 3
    other = acme.worker.post(
        "/api/track-generation", json={"user_id": "bob", "type": "image"}, headers={"Idempotency-Key": "a"}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_tracking_and_members_take_part_in_batches(acme: Organisation) -> None:
    group = acme.group(image_limit=1)
    members = {"path": "/api/group-members", "body": {"group_id": group, "user_ids": ["ann"]}}
    track = {"path": "/api/track-generation", "body": {"user_id": "ann", "type": "image"}}
    results = acme.admin.post("/api/v1/batch", json={"operations": [members, track, track]}).json()["results"]
    assert [each["status"] for each in results] == [200, 200, 200]
    assert [each["body"]["allowed"] for each in results[1:]] == [True, False]


def test_changing_a_limit_leaves_recorded_use(acme: Organisation) -> None:
    """S1-4: editing a limit leaves recorded usage as it is, also below what is used."""
    group = acme.group("ann", image_limit=5)
    acme.use("ann", 3)
    lowered = acme.edit(group, image_limit=2)
    assert (lowered["usage"]["image"], lowered["remaining"]["image"], lowered["percent"]) == (3, 0, 150)
    assert acme.track("ann").json()["allowed"] is False
    raised = acme.edit(group, image_limit=4)
    assert (raised["usage"]["image"], raised["remaining"]["image"]) == (3, 1)
    assert acme.track("ann").json()["allowed"] is True


def test_colours(acme: Organisation) -> None:
    """S1-4: green below 75 %, yellow below 90 %, red from 90 %."""
    group = acme.group("ann", image_limit=4)
    acme.use("ann", 3)
    shown = []
    for limit in (5, 4, None, 3):
        told = acme.edit(group, image_limit=limit)
        shown.append((told["status"], told["percent"]))
    assert shown == [("green", 60), ("yellow", 75), ("green", 0), ("red", 100)]
    assert acme.edit(group, image_limit=4, video_limit=0)["status"] == "red"  # its fullest limit decides


def test_who_may_see_and_change_groups(acme: Organisation) -> None:
    """S1-2: admin only, enforced in the API; users read the groups that they are in, and not who else is in them."""
    mine, other = acme.group("ann", image_limit=3), acme.group("bob")
    acme.service.project()
    ann, auditor = acme.client("user", "ann"), acme.client("auditor", "a")
    assert [row["id"] for row in ann.get("/api/groups").json()["items"]] == [mine]
    assert ann.get("/api/groups", params={"user_id": "bob"}).status_code == 403
    assert ann.get(f"/api/groups/{mine}").json()["remaining"]["image"] == 3
    answer = ann.get(f"/api/groups/{other}")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_own")
    for path in ("/members", "/usage"):
        assert ann.get(f"/api/groups/{mine}{path}").status_code == 403
        assert auditor.get(f"/api/groups/{mine}{path}").status_code == 200
    listed = [row["id"] for row in auditor.get("/api/groups", params={"user_id": "bob"}).json()["items"]]
    assert listed == [other]
    body = {"group_id": mine, "user_ids": ["eve"]}
    for client in (ann, acme.worker, auditor):
        assert client.post("/api/groups", json={"name": "x"}).status_code == 403
        assert client.patch(f"/api/groups/{mine}", json={"image_limit": 9}).status_code == 403
        assert client.delete(f"/api/groups/{mine}").status_code == 403
        assert client.post("/api/group-members", json=body).status_code == 403
        assert client.post("/api/group-members/remove", json=body).status_code == 403
        assert client.request("DELETE", "/api/group-members", json=body).status_code == 403
    for client in (ann, auditor):
        assert client.post("/api/track-generation", json={"user_id": "ann", "type": "image"}).status_code == 403


def test_groups_of_another_organisation_do_not_exist(acme: Organisation) -> None:
    group = acme.group("ann", image_limit=1)
    acme.service.project()
    there = Organisation(acme.service)
    for method, path, body in (
        ("GET", f"/api/groups/{group}", None),
        ("GET", f"/api/groups/{group}/members", None),
        ("GET", f"/api/groups/{group}/usage", None),
        ("PATCH", f"/api/groups/{group}", {"image_limit": 9}),
        ("DELETE", f"/api/groups/{group}", None),
        ("POST", "/api/group-members", {"group_id": group, "user_ids": ["eve"]}),
    ):
        answer = there.admin.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert there.admin.get("/api/groups").json()["items"] == []
    assert there.track("ann").json()["group_id"] is None


def test_the_list_pages_and_shows_use(acme: Organisation) -> None:
    """S1-4, S1-5: usage, remaining count and member count for each group."""
    groups = sorted(acme.group("ann", image_limit=4, token_quotas={"general": 5}) for _ in range(3))
    acme.use("ann", 3)
    acme.admin.delete(f"/api/groups/{groups[1]}")
    acme.service.project()
    page = acme.admin.get("/api/groups", params={"limit": 1}).json()
    rest = acme.admin.get("/api/groups", params={"cursor": page["next_cursor"]}).json()
    assert [row["id"] for row in page["items"] + rest["items"]] == [groups[0], groups[2]]
    assert {**page["items"][0], "position": ""} == {**acme.read(groups[0]), "position": ""}
    assert (page["items"][0]["status"], page["items"][0]["remaining"]) == ("yellow", {"image": 1, "video": None})


def test_history_as_buckets_and_csv(acme: Organisation) -> None:
    """S1-4, S1-6: usage history per group, limit against actual, export; a cell cannot be a formula."""
    group = acme.group("ann", name="=cmd()", image_limit=7, token_quotas={"general": 5})
    acme.use("ann", 2)
    acme.use("ann", 1, "video")
    acme.service.project()
    path = f"/api/groups/{group}/usage"
    told = acme.admin.get(path).json()
    assert (told["image_limit"], told["video_limit"], told["token_quotas"]) == (7, None, {"general": 5})
    assert len(told["items"]) == 31
    assert {name: told["items"][-1][name] for name in ("image", "video", "tokens")} == {
        "image": 2,
        "video": 1,
        "tokens": {},
    }
    assert sum(item["image"] for item in told["items"]) == 2
    for bucket in ("week", "month"):
        items = acme.admin.get(path, params={"bucket": bucket}).json()["items"]
        assert sum(item["image"] for item in items) == 2
        assert len(items) in ({"week": (5, 6), "month": (2, 3)}[bucket])
    answer = acme.admin.get(path, params={"format": "csv", "bucket": "month"})
    assert answer.headers["content-type"].startswith("text/csv")
    for_excel = acme.admin.get(path, params={"format": "csv", "bucket": "month", "bom": True})
    assert for_excel.content == b"\xef\xbb\xbf" + answer.content
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert {line["name"] for line in lines} == {"'=cmd()"}
    assert (lines[-1]["image"], lines[-1]["image_limit"], lines[-1]["video_limit"]) == ("2", "7", "")
    assert lines[-1]["tokens.general"] == "0"
    empty = acme.admin.get(path, params={"from": "2020-01-01T00:00:00Z", "to": "2020-01-03T00:00:00Z"}).json()
    assert [(item["start"], item["image"]) for item in empty["items"]] == [("2020-01-01", 0), ("2020-01-02", 0)]
    for wrong in (
        {"from": "2020-01-01T00:00:00Z"},
        {"from": "2020-01-02T00:00:00Z", "to": "2020-01-01T00:00:00Z"},
        {"bucket": "hour"},
    ):
        assert acme.admin.get(path, params=wrong).status_code == 422


def test_a_period_that_has_ended_shows_nothing_used(acme: Organisation) -> None:
    """S1-4: a daily limit starts anew; the list says so before any event does. Last, for it moves the clock."""
    group = acme.group("ann", image_limit=1, period="day")
    assert acme.track("ann").json()["allowed"] is True
    acme.service.project()
    assert acme.admin.get("/api/groups").json()["items"][0]["usage"]["image"] == 1
    move_clock(acme.service.database, "25 hours")
    listed = acme.admin.get("/api/groups").json()["items"][0]
    assert (listed["usage"]["image"], listed["remaining"]["image"], listed["status"]) == (0, 1, "green")
    assert acme.read(group)["usage"]["image"] == 0
    assert acme.track("ann").json()["allowed"] is True
