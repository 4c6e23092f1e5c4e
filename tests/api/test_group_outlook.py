"""S1-5: when a group is full, which group is closest to its limit, and what another limit would mean now."""

import csv
import io
import secrets
from typing import Any

import pytest

from api.groups.reads import full_in_days
from tests.api.generating import ok
from tests.api.service import Service
from tests.conftest import move_clock
from tests.domain.scenario import NOW, after

GROUPS = "/api/groups"
ORG = f"go{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def groups(service: Service) -> Service:
    """`busy` has used 6 of 10 images, `idle` nothing of 5, `free` has no limit, `shut` a limit of 0."""
    boss, worker = service.client(org=ORG), service.client("worker", org=ORG)
    for group, limits in (
        ("busy", {"image_limit": 10, "video_limit": 100}),
        ("idle", {"image_limit": 5}),
        ("free", {}),
        ("shut", {"video_limit": 0}),
    ):
        ok(boss.post(GROUPS, json={"id": group, "name": group, **limits}), 201)
    ok(boss.post("/api/group-members", json={"group_id": "busy", "user_ids": ["ann", "otto"]}))
    for _ in range(6):
        ok(worker.post("/api/track-generation", json={"user_id": "ann", "type": "image"}))
    service.project()
    return service


def test_when_a_group_is_full(groups: Service) -> None:
    """S1-5."""
    boss = groups.client(org=ORG)
    # 6 in 14 days: the 4 that are left last for 9.3 days. Nobody makes videos.
    expected = {"busy": {"image": 10, "video": None}, "idle": {"image": None, "video": None}}
    expected |= {"free": {"image": None, "video": None}, "shut": {"image": None, "video": 0}}
    listed = ok(boss.get(GROUPS))["items"]
    assert {group["id"]: group["full_in_days"] for group in listed} == expected
    assert ok(boss.get(f"{GROUPS}/busy"))["full_in_days"] == expected["busy"]
    assert "full_in_days" not in ok(boss.patch(f"{GROUPS}/busy", json={"name": "busy"}))


def test_the_closest_to_its_limit_first_page_by_page(groups: Service) -> None:
    """S1-5."""
    boss = groups.client(org=ORG)
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"sort": "closest", "limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = ok(boss.get(GROUPS, params=query))
        found += [group["id"] for group in page["items"]]
        cursor = page["next_cursor"]
    assert found == ["shut", "busy", "idle", "free"]
    by_id = ok(boss.get(GROUPS, params={"limit": 1}))["next_cursor"]
    assert boss.get(GROUPS, params={"sort": "closest", "cursor": by_id}).status_code == 422
    assert [group["id"] for group in ok(groups.client("user", "ann", ORG).get(GROUPS))["items"]] == ["busy"]


def test_what_another_limit_would_mean_now(groups: Service) -> None:
    """S1-5."""
    boss = groups.client(org=ORG)
    path = f"{GROUPS}/busy/preview"
    lower = ok(boss.post(path, json={"image_limit": 6}))
    assert (lower["remaining"], lower["status"], lower["percent"]) == ({"image": 0, "video": 100}, "red", 100)
    assert (lower["refused_now"], lower["members_affected"]) == ({"image": True, "video": False}, 2)
    higher = ok(boss.post(path, json={"image_limit": 7, "video_limit": None}))
    assert (higher["remaining"], higher["members_affected"]) == ({"image": 1, "video": None}, 0)
    anew = ok(boss.post(path, json={"period": "month"}))
    assert (anew["usage"]["image"], anew["remaining"]["image"], anew["period"]) == (0, 10, "month")
    assert ok(boss.post(path, json={}))["usage"]["image"] == 6
    now = ok(boss.get(f"{GROUPS}/busy"))
    assert (now["image_limit"], now["usage"]["image"], now["period"]) == (10, 6, "total")  # nothing was written
    assert boss.post(path, json={"image_limit": -1}).status_code == 422
    assert boss.post(f"{GROUPS}/none/preview", json={"image_limit": 1}).status_code == 404


def test_all_groups_for_a_report(groups: Service) -> None:
    """S1-5: export."""
    auditor, path = groups.client("auditor", org=ORG), "/api/v1/analytics/groups"
    page = ok(auditor.get(path, params={"limit": 2}))
    rest = ok(auditor.get(path, params={"cursor": page["next_cursor"]}))
    busy, *others = page["items"] + rest["items"]
    assert (busy["group_id"], busy["member_count"], busy["percent"], busy["status"]) == ("busy", 2, 60, "green")
    assert (busy["image_used"], busy["image_limit"], busy["image_remaining"]) == (6, 10, 4)
    assert [each["group_id"] for each in others] == ["free", "idle", "shut"]
    answer = auditor.get(path, params={"format": "csv", "from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"})
    header, first, *_ = csv.reader(io.StringIO(answer.text))
    assert (header[0], header[-1]) == ("group_id", "status")
    assert first == ["busy", "busy", "total", "2", "0", "10", "4", "0", "100", "100", "60", "green"]
    assert groups.client("worker", org=ORG).get(path).status_code == 403


def test_use_of_long_ago_says_nothing_of_the_future(groups: Service) -> None:
    move_clock(groups.database, "20 days")
    assert ok(groups.client(org=ORG).get(f"{GROUPS}/busy"))["full_in_days"] == {"image": None, "video": None}


def group(remaining: int | None, period: str = "total", end: Any = None) -> dict[str, Any]:
    return {"id": "g", "remaining": {"image": remaining, "video": None}, "period": period, "period_end": end}


@pytest.mark.parametrize(
    ("told", "used", "days"),
    [
        (group(14), 14, 14),
        (group(15), 28, 8),
        (group(0), 0, 0),
        (group(1), -3, None),
        (group(None), 14, None),
        (group(10**12), 1, None),
        (group(3, "month", after(86_400 * 4)), 14, 3),
        (group(5, "month", after(86_400 * 4)), 14, None),  # use starts anew before
        (group(2, "day"), 14, None),
        (group(6, "week"), 14, 6),
    ],
)
def test_days_until_full(told: dict[str, Any], used: int, days: int | None) -> None:
    assert full_in_days(told, {("g", "image"): used}, NOW)["image"] == days
