"""The pages of the person who generates: what they say, what their forms do, and that nothing typed is ever run."""

import html
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.service import Service
from tests.console.conftest import Visitor, csrf_of

ME = "u_1"
SCRIPT = "<script>alert('x')</script>"
FILM: dict[str, Any] = {
    "operation": "video",
    "model": "MiniMax-Hailuo-02",
    "options": {"resolution": "1080P", "duration": 6},
}
Read = Callable[[httpx.Client, str], str]


@pytest.fixture(scope="module")
def lived(site: Service) -> Service:
    """A user with credits of which some expire, a finished, a failed, a refused and a running generation."""
    boss, worker = site.client("org_admin"), site.client("worker", "gpu")
    grants = f"/api/v1/accounts/user:{ME}:credits/grants"
    assert boss.post(grants, json={"amount": 1000, "source": "purchase"}).status_code == 201
    soon = {"amount": 3000, "source": "trial", "expires_at": "2100-01-14T00:00:00Z"}
    assert boss.post(grants, json=soon).status_code == 201
    boss.post("/api/groups", json={"id": "film", "name": SCRIPT, "video_limit": 5}).raise_for_status()
    boss.post("/api/group-members", json={"group_id": "film", "user_ids": [ME]}).raise_for_status()
    for id_ in ("done", "broken", "running"):
        asked = {**FILM, "id": id_, "user_id": ME, "prompt": SCRIPT}
        worker.post("/api/v1/generations", json=asked).raise_for_status()
    content = {"content": {"id": "film-1", "url": "https://cdn.example/film-1.mp4", "bytes": 8 * 1024 * 1024}}
    worker.post("/api/v1/generations/done/confirm", json=content).raise_for_status()
    failed = {"outcome": "provider_error", "error_message": SCRIPT}
    worker.post("/api/v1/generations/broken/fail", json=failed).raise_for_status()
    worker.post("/api/v1/generations/running/start", json={}).raise_for_status()
    assert (
        worker.post(
            "/api/v1/generations", json={**FILM, "id": "no", "user_id": ME, "options": FILM["options"] | {"count": 9}}
        ).status_code
        == 402
    )
    cost = {
        "id": "c1",
        "user_id": ME,
        "prompt": SCRIPT,
        "size": "1024x1024",
        "quality": "hd",
        "cost": "8.00",
        "success": True,
    }
    worker.post("/api/v1/budgets/costs", json={"entries": [cost]}).raise_for_status()
    site.project()
    return site


def read(client: httpx.Client, path: str) -> str:
    """A page's text; nothing that was typed may stand in it unescaped."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert SCRIPT not in answer.text
    return html.unescape(answer.text)


@pytest.mark.usefixtures("lived")
class TestPages:
    def test_the_overview_tells_what_is_available_in_progress_and_expiring(self, visitor: Visitor) -> None:
        page = read(visitor(), "/")
        assert "1,800 available" in page
        assert "1,100 in progress" in page
        assert "<b>1,100</b> expire on" in page  # of the trial's 3,000 one film is charged, of another 800 are held
        assert "used first" in page
        assert "8 MB" in page
        assert "$2.00 left" in page

    def test_the_history_has_one_row_for_each_generation_with_its_outcome_in_words(self, visitor: Visitor) -> None:
        page = read(visitor(), "/history")
        assert page.count('aria-label="Why? ') == 4
        assert "Failed: nothing charged" in page
        assert "Completed: 1,100 credits charged" in page
        assert "Refused: " in page
        assert SCRIPT[:20] in page  # the prompt, escaped

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("q=done", {"done"}),
            ("q=hailuo", {"done", "broken", "running", "no"}),
            ("status=failed", {"broken"}),
            ("outcome=provider_error", {"broken"}),
            ("from=2100-01-01", set()),
            ("to=2000-01-01", set()),
            ("from=nonsense", {"done", "broken", "running", "no"}),
        ],
    )
    def test_filters_stand_in_the_address(self, visitor: Visitor, query: str, found: set[str]) -> None:
        page = read(visitor(), f"/history?{query}")
        assert {id_ for id_ in ("done", "broken", "running", "no") if f'aria-label="Why? {id_}"' in page} == found
        assert ("Nothing matches" in page) == (not found)

    def test_why_names_the_checks_the_grants_and_what_happened(self, visitor: Visitor) -> None:
        page = read(visitor(), "/generations/done")
        assert "Which grants paid" in page
        assert "from the trial grant" in page
        assert "Completed. Charged: 1100 credits and 1 video." in page
        assert 'href="/support?generation=done"' in page
        refused = read(visitor(), "/generations/no")
        assert "Short by" in refused
        assert "You need 9900 credits but only have 1800" in refused

    def test_nobody_reads_another_users_generation(self, visitor: Visitor) -> None:
        assert visitor(sub="u_2").get("/generations/done").status_code == 403

    def test_the_movements_can_be_read_and_downloaded(self, visitor: Visitor) -> None:
        client = visitor()
        assert "Balance after" in read(client, "/history/movements")
        statement = client.get("/history/statement?format=csv")
        assert statement.headers["content-disposition"] == 'attachment; filename="statement.csv"'
        assert "granted" in statement.text
        assert statement.content.startswith(b"\xef\xbb\xbf")  # for Excel
        assert client.get("/history/statement?format=pdf").content.startswith(b"%PDF")

    def test_the_budget_shows_what_is_left_and_takes_a_new_one(self, visitor: Visitor) -> None:
        client = visitor()
        page = read(client, "/settings/budget")
        assert "$2.00</b> remaining" in page
        assert "80" in page
        form = {"csrf": csrf_of(page), "monthly_budget": "20"}
        assert client.post("/settings/budget", data=form).status_code == 303
        assert "$12.00</b> remaining" in read(client, "/settings/budget")
        client.post("/settings/budget", data={**form, "monthly_budget": "10"})

    @pytest.mark.parametrize("typed", ["0.50", "1001", "ten", "", "-3", SCRIPT])
    def test_a_budget_that_cannot_be_is_explained_beside_the_field(self, visitor: Visitor, typed: str) -> None:
        client = visitor()
        form = {"csrf": csrf_of(client.get("/settings/budget").text), "monthly_budget": typed}
        answer = client.post("/settings/budget", data=form)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert SCRIPT not in answer.text
        assert f'value="{html.escape(typed, quote=True)}"' in answer.text or typed == SCRIPT

    def test_groups_say_what_is_left(self, visitor: Visitor) -> None:
        page = read(visitor(), "/groups")
        assert "3 left" in page
        assert "You are in no group" in read(visitor(sub="loner"), "/groups")

    def test_stored_generations_are_listed_and_deleted_once(self, visitor: Visitor, lived: Service) -> None:
        client = visitor()
        page = read(client, "/generations?sort=age")
        assert "8 MB of 1 GB" in page
        form = {"csrf": csrf_of(page), "id": "film-1"}
        for _ in range(2):
            deleted = client.post("/generations/delete", data=form, headers={"Accept": "application/json"})
            assert deleted.json() == {"deleted": 1}
        lived.project()
        assert "Nothing is stored" in read(client, "/generations")

    def test_a_package_waits_for_its_payment(self, lived: Service, visitor: Visitor) -> None:
        """It is the buyer's when an administrator has confirmed the payment, and not before."""
        client, boss = visitor(sub="buyer"), visitor("org_admin", "boss")
        here = "/settings/tokens?return=/playground%3Fprompt%3Dkept"
        page = read(client, here)
        assert "50 lead generation tokens" not in page  # those are the organisation's
        form = {
            "csrf": csrf_of(page),
            "package": "credits_1000",
            "key": "one-click",
            "return": "/playground?prompt=kept",
        }
        for _ in range(2):
            back = client.post("/settings/tokens", data=form).headers["location"]
            assert back == "/settings/tokens?return=%2Fplayground%3Fprompt%3Dkept"
        lived.project()
        page = read(client, back)
        assert "Bought. It is yours" not in page
        assert page.count("Waiting for payment") == 1
        assert 'href="/playground?prompt=kept"' in page
        assert "1,000 available" not in read(client, "/")
        listed = read(boss, "/admin/purchases")
        purchase = re.search(r'name="purchase" value="([^"]+)"', listed)
        assert purchase is not None
        done = {"csrf": csrf_of(listed), "purchase": purchase[1], "payment_ref": "bank-7"}
        assert client.post("/admin/purchases/paid", data={**done, "csrf": csrf_of(page)}).status_code == 403
        for _ in range(2):
            assert boss.post("/admin/purchases/paid", data=done).headers["location"] == "/admin/purchases"
        lived.project()
        assert "1,000 available" in read(client, "/")
        assert "Waiting for payment" not in read(client, "/settings/tokens")
        assert "bank-7" in read(boss, "/admin/purchases?status=completed")

    def test_a_purchase_is_cancelled(self, lived: Service, visitor: Visitor) -> None:
        client = visitor(sub="buyer3")
        form = {"csrf": csrf_of(read(client, "/settings/tokens")), "package": "credits_1000", "key": "k3"}
        client.post("/settings/tokens", data=form)
        lived.project()
        page = read(client, "/settings/tokens")
        purchase = re.search(r'name="purchase" value="([^"]+)"', page)
        assert purchase is not None
        client.post("/settings/tokens/cancel", data={"csrf": csrf_of(page), "purchase": purchase[1]})
        lived.project()
        page = read(client, "/settings/tokens")
        assert "Cancelled" in page
        assert "Waiting for payment" not in page

    def test_buying_leads_to_no_other_site(self, visitor: Visitor) -> None:
        client = visitor(sub="buyer2")
        page = read(client, "/settings/tokens?return=https://evil.example/")
        assert "evil.example" not in page
        form = {"csrf": csrf_of(page), "package": "credits_1000", "key": "k", "return": "//evil.example"}
        assert client.post("/settings/tokens", data=form).headers["location"] == "/settings/tokens"

    def test_a_user_sees_the_plans_and_cannot_change_them(self, visitor: Visitor) -> None:
        client = visitor()
        page = read(client, "/settings/subscription")
        assert "Who can change it" in page
        form = {"csrf": csrf_of(page), "plan": "enterprise"}
        assert client.post("/settings/subscription", data=form).status_code == 403

    def test_an_admin_of_the_platform_changes_the_plan(self, visitor: Visitor) -> None:
        root = visitor("admin", "root", "plans")
        page = read(root, "/settings/subscription")
        assert root.post("/settings/subscription", data={"csrf": csrf_of(page), "plan": "pro"}).status_code == 303
        assert "now has the plan pro" in read(root, "/settings/subscription")

    @pytest.mark.parametrize("path", ["/history", "/generations", "/settings/alerts", "/settings/budget", "/groups"])
    def test_a_newcomer_is_told_what_will_be_here(self, visitor: Visitor, path: str) -> None:
        assert 'class="empty"' in read(visitor(sub="newcomer"), path)
