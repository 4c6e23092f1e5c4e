"""The pages of the person who generates, looked at in a browser, wide and on a phone."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, WIDE, Named, OpenApi, OpenPage, SignIn
from tests.infra.writer.ledger_kit import until

ME = "u_42"
MB = 1024 * 1024
FILM: dict[str, Any] = {
    "operation": "video",
    "model": "MiniMax-Hailuo-02",
    "options": {"resolution": "768P", "duration": 6},
}
SCREENS = {
    "/": "overview",
    "/history": "history",
    "/history?q=nothing-like-it": "history-none",
    "/history/movements": "movements",
    "/generations/film-0": "generation-completed",
    "/generations/too-much": "generation-refused",
    "/generations": "contents",
    "/groups": "groups",
    "/settings/budget": "budget",
    "/settings/tokens": "packages",
    "/settings/subscription": "plans",
    "/settings/alerts": "alerts",
}


def live(boss: httpx.Client, worker: httpx.Client) -> None:
    """A life of one user: grants of which some expire, films stored, one that fails, one refused, one running."""
    grants = f"/api/v1/accounts/user:{ME}:credits/grants"
    boss.post(grants, json={"amount": 2000, "source": "purchase"}).raise_for_status()
    soon = {"amount": 3000, "source": "trial", "expires_at": "2100-01-14T00:00:00Z"}
    boss.post(grants, json=soon).raise_for_status()
    boss.post("/api/groups", json={"id": "film", "name": "Film team", "video_limit": 6}).raise_for_status()
    boss.post("/api/group-members", json={"group_id": "film", "user_ids": [ME]}).raise_for_status()
    for number in range(5):
        asked = {**FILM, "id": f"film-{number}", "user_id": ME, "prompt": "A lighthouse in the fog"}
        worker.post("/api/v1/generations", json=asked).raise_for_status()
    for number in range(3):
        content = {"id": f"c-{number}", "url": f"https://cdn.example/{number}.mp4", "bytes": (4 + number) * MB}
        worker.post(f"/api/v1/generations/film-{number}/confirm", json={"content": content}).raise_for_status()
    worker.post("/api/v1/generations/film-3/fail", json={"outcome": "provider_error"}).raise_for_status()
    refused = {**FILM, "id": "too-much", "user_id": ME, "options": {**FILM["options"], "count": 9}}
    assert worker.post("/api/v1/generations", json=refused).status_code == 402
    cost = {"id": "c1", "user_id": ME, "size": "1024x1024", "quality": "hd", "cost": "8.00", "success": True}
    worker.post("/api/v1/budgets/costs", json={"entries": [cost]}).raise_for_status()

    def projected() -> bool:
        items = boss.get("/api/v1/generations", params={"user_id": ME}).json()["items"]
        stored = boss.get("/api/v1/contents", params={"user_id": ME}).json()["items"]
        return {each["status"] for each in items} >= {"refused", "failed", "completed"} and len(stored) == 3

    until(projected, "the read models know of it")


@pytest.fixture
def life(api: OpenApi, org: str) -> str:
    live(api(org), api(org, "gpu", "worker"))
    return org


# S4-5
def test_every_screen_reads_well_wide_and_on_a_phone(
    page_at: OpenPage, sign_in: SignIn, screen: Named, life: str
) -> None:
    for width in (WIDE, PHONE):
        page = page_at(width)
        sign_in(page, life, ME)
        for path, name in SCREENS.items():
            page.goto(path)
            screen(page, f"user-{name}")
    page = page_at(WIDE, scheme="dark")
    sign_in(page, life, ME)
    for path in ("/", "/history", "/settings/budget"):
        page.goto(path)
        screen(page, f"user-{SCREENS[path]}-dark")


def test_the_menu_of_a_phone_opens_and_leads_on(page_at: OpenPage, sign_in: SignIn, screen: Named, org: str) -> None:
    page = page_at(PHONE)
    sign_in(page, org, "newcomer")
    page.get_by_role("button", name="Menu").click()
    screen(page, "user-menu")
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("History")


def test_what_happens_in_the_ledger_moves_the_overview(
    page_at: OpenPage, sign_in: SignIn, api: OpenApi, org: str
) -> None:
    page = page_at(WIDE)
    sign_in(page, org, ME)
    expect(page.locator(".figures")).to_contain_text("0 available")
    expect(page.locator("[data-live-state]")).to_contain_text("updated")
    granted = {"amount": 1250, "source": "gift"}
    api(org).post(f"/api/v1/accounts/user:{ME}:credits/grants", json=granted).raise_for_status()
    expect(page.locator(".figures")).to_contain_text("1,250 available")


def chosen(page: Page) -> str:
    return page.locator("#chosen").inner_text()


def test_deleting_says_what_it_frees_and_can_be_undone(
    page_at: OpenPage, sign_in: SignIn, screen: Named, api: OpenApi, life: str
) -> None:
    page = page_at(WIDE)
    sign_in(page, life, ME)
    page.goto("/generations?sort=size")
    boxes = page.locator("input[name=id]")
    boxes.nth(0).check()
    boxes.nth(1).check()
    assert chosen(page) == "2 chosen: frees 11 MB, enough for your video"
    page.get_by_role("button", name="Delete").click()
    screen(page, "user-contents-undo")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("tr[data-row]:not([hidden])")).to_have_count(3)
    page.get_by_role("button", name="Delete").click()
    page.goto("/")  # leaving the page is no undoing
    client = api(life)

    def remaining() -> list[str]:
        stored = client.get("/api/v1/contents", params={"user_id": ME}).json()["items"]
        return [each["content_id"] for each in stored]

    until(lambda: remaining() == ["c-0"], "the two are deleted")


def test_a_budget_is_changed_by_its_form(page_at: OpenPage, sign_in: SignIn, org: str) -> None:
    page = page_at(PHONE, allow=["422"])
    sign_in(page, org, ME)
    page.goto("/settings/budget")
    page.get_by_label("Amount in USD").fill("0.5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("1")
    page.get_by_label("Amount in USD").fill("25")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("Your budget is changed.")
    expect(page.locator("main")).to_contain_text("$25.00 remaining")
