"""Analytics: figures by what was asked, in the period that was asked for, as a chart, a table and a file."""

import html
import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from console.analytics import buckets, charted, totals
from tests.api.service import Service
from tests.console.conftest import Visitor

SCRIPT = "<script>alert('x')</script>"
FILM = {"operation": "video", "model": "MiniMax-Hailuo-02", "options": {"resolution": "1080P", "duration": 6}}
CHART = re.compile(r'data-chart="([^"]+)"')
DAYS = 30


@pytest.fixture(scope="module")
def lived(site: Service) -> Service:
    """Two users' generations, of which one was refused, and money spent."""
    boss, worker = site.client("org_admin"), site.client("worker", "gpu")
    boss.post("/api/v1/accounts/user:u_1:credits/grants", json={"amount": 5000, "source": "gift"}).raise_for_status()
    for id_ in ("a", "b"):
        worker.post("/api/v1/generations", json={**FILM, "id": id_, "user_id": "u_1"}).raise_for_status()
        worker.post(f"/api/v1/generations/{id_}/confirm", json={}).raise_for_status()
    assert worker.post("/api/v1/generations", json={**FILM, "id": "no", "user_id": "u_2"}).status_code == 402
    asked = {"operation": "image", "options": {"size": "1024x1024", "quality": "hd"}, "id": "i", "user_id": "u_3"}
    boss.post("/api/v1/accounts/user:u_3:tokens/grants", json={"amount": 5000, "source": "gift"}).raise_for_status()
    worker.post("/api/v1/generations", json=asked).raise_for_status()
    worker.post("/api/v1/generations/i/confirm", json={}).raise_for_status()
    site.project()
    return site


def read(client: httpx.Client, path: str) -> tuple[str, dict[str, Any]]:
    """A page's text, and what its chart shows."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert SCRIPT not in answer.text
    chart = CHART.search(answer.text)
    return html.unescape(answer.text), json.loads(html.unescape(chart[1])) if chart else {}


@pytest.mark.usefixtures("lived")
class TestPage:
    def test_the_last_days_are_shown_by_model(self, visitor: Visitor) -> None:
        page, chart = read(visitor("org_admin"), "/analytics")
        assert "Total: 3" in page
        today = datetime.now(UTC).date().isoformat()
        assert len(chart["labels"]) == DAYS
        assert chart["labels"][-1] == today
        assert [(each["label"], each["values"][-1], sum(each["values"])) for each in chart["series"]] == [
            ("MiniMax-Hailuo-02", 2, 2),
            ("none", 1, 1),
        ]

    @pytest.mark.parametrize(
        ("asked", "series", "total"),
        [
            ("metric=credits&group_by=user", {"u_1": 2200}, "Total: 2,200"),
            ("metric=usd&group_by=quality", {"hd": 0.08}, "Total: $0.08"),
            ("metric=refusals&group_by=reason", {"insufficient_credits": 1}, "Total: 1"),
            ("metric=refusals&group_by=none", {"none": 1}, "Total: 1"),
            (f"metric={SCRIPT}&group_by=no-such", {"MiniMax-Hailuo-02": 2, "none": 1}, "Total: 3"),
        ],
    )
    def test_figure_and_grouping_stand_in_the_address(
        self, visitor: Visitor, asked: str, series: dict[str, float], total: str
    ) -> None:
        page, chart = read(visitor("org_admin"), f"/analytics?{asked}")
        assert {each["label"]: sum(each["values"]) for each in chart["series"]} == series
        assert total in page

    def test_a_period_without_anything_says_so(self, visitor: Visitor) -> None:
        first, last = (datetime.now(UTC).date() - timedelta(days=days) for days in (700, 600))
        page, chart = read(visitor("org_admin"), f"/analytics?from={first}&to={last}")
        assert "Nothing in this period" in page
        assert "Nobody was refused in this period." in page
        assert chart == {}

    def test_blocked_attempts_and_what_runs_out_stand_beside(self, visitor: Visitor) -> None:
        page, _ = read(visitor("org_admin"), "/analytics")
        assert "Insufficient credits" in page
        assert 'hx-get="/analytics/parts/forecasts"' in page
        part = visitor("org_admin").get("/analytics/parts/forecasts").text
        assert 'href="/support/users/u_1">user:u_1:credits</a>' in part
        assert "At the mean of the last 14 days." in part

    def test_who_may_see_other_organisations_sees_those_at_risk(self, visitor: Visitor) -> None:
        assert "Organisations at risk" in read(visitor("auditor"), "/analytics")[0]
        assert "Organisations at risk" not in read(visitor("org_admin"), "/analytics")[0]

    def test_the_figures_can_be_had_as_a_file(self, visitor: Visitor) -> None:
        answer = visitor("org_admin").get("/analytics/export?metric=credits&group_by=user")
        assert answer.headers["content-disposition"] == 'attachment; filename="credits-by-user.csv"'
        assert answer.content.startswith(b"\xef\xbb\xbf")  # for Excel
        assert answer.content.decode("utf-8-sig").splitlines()[0] == "day,user,credits"
        assert answer.text.splitlines()[1].endswith(",u_1,2200")

    def test_users_are_refused(self, visitor: Visitor) -> None:
        for path in ("/analytics", "/analytics/parts/forecasts", "/analytics/export"):
            assert visitor("user").get(path).status_code == 403


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        ("day", ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]),
        ("week", ["2026-02-23", "2026-03-02"]),
        ("month", ["2026-02-01", "2026-03-01"]),
    ],
)
def test_periods_without_anything_are_periods_too(bucket: str, expected: list[str]) -> None:
    assert buckets(date(2026, 2, 27), date(2026, 3, 3), bucket) == expected


def test_the_smallest_keys_share_one_series() -> None:
    items = [{"bucket": "d", "key": f"k{number}", "value": number} for number in range(1, 8)]
    assert totals(items)[0] == ("k7", 7)
    series = charted(items, ["c", "d"])
    assert [each["label"] for each in series] == ["k7", "k6", "k5", "k4", "k3", "others"]
    assert series[-1]["values"] == [0, 3]
    assert charted([], []) == []
