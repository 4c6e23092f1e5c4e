"""Two people who know nothing of Scrip get done what they came for; each visit is recorded beside the screenshots.

A recording opens with `playwright show-trace FILE`: every click with the page before and after it.
"""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import PHONE, WIDE, Named, OpenApi, OpenPage, SignIn
from tests.browser.screenshots import folder

Record = Callable[[Page, str], None]
FILM = "MiniMax-Hailuo-02 1080P 6"
PROMPT = "A lighthouse at dawn, drawn by nobody <script>alert(1)</script>"


@pytest.fixture
def record() -> Iterator[Record]:
    """`record(page, name)` records from here to the end of the test."""
    running: list[tuple[BrowserContext, str]] = []

    def start(page: Page, name: str) -> None:
        page.context.tracing.start(screenshots=True, snapshots=True)
        running.append((page.context, name))

    yield start
    for context, name in running:
        context.tracing.stop(path=folder() / f"{name}.trace.zip")


# S0-7
def test_a_blocked_user_on_a_phone_buys_and_generates_typing_nothing_again(
    page_at: OpenPage, sign_in: SignIn, api: OpenApi, org: str, screen: Named, record: Record
) -> None:
    gift = {"amount": 500, "source": "trial"}
    api(org).post("/api/v1/accounts/user:u_42:credits/grants", json=gift).raise_for_status()
    page = page_at(PHONE, allow=["402"])
    record(page, "phone")
    sign_in(page, org, "u_42")
    page.goto("/playground")
    page.get_by_label("What", exact=True).select_option(label=FILM)
    page.get_by_label("Prompt").fill(PROMPT)
    expect(page.locator("scrip-cost")).to_contain_text("1,100")
    page.get_by_role("button", name="Generate", exact=True).tap()

    blocked = page.get_by_role("dialog", name="Insufficient Credits")
    expect(blocked).to_be_visible()
    screen(page, "scenario-phone-blocked")
    blocked.get_by_role("link", name="Buy More").tap()
    expect(page.get_by_role("heading", level=1)).to_have_text("Buy tokens")
    page.get_by_role("button", name="Buy 1,000 credits", exact=True).tap()

    expect(page.get_by_text("Waiting for payment")).to_be_visible()
    boss = api(org)
    waiting = boss.get("/api/v1/purchases", params={"status": "pending"}).json()["items"]
    boss.post(f"/api/v1/purchases/{waiting[0]['purchase_id']}/paid", json={}).raise_for_status()
    page.get_by_role("link", name="Back", exact=True).tap()
    page.wait_for_url("**/playground")
    ready = page.get_by_role("dialog", name="There Is Enough Now")
    expect(ready).to_contain_text(PROMPT)
    screen(page, "scenario-phone-back")
    ready.get_by_role("button", name="Generate").tap()
    expect(page.locator("#running")).to_contain_text("is in progress")
    expect(page.locator("scrip-credits")).to_contain_text("400 available, 1,100 in progress")
    page.get_by_role("button", name="It has succeeded: charge").tap()
    expect(page.locator("scrip-credits")).not_to_contain_text("in progress")
    screen(page, "scenario-phone-done")


# S1-5
def test_a_visitor_makes_a_group_fills_it_and_sees_the_refusal(
    page_at: OpenPage, sign_in: SignIn, org: str, screen: Named, record: Record
) -> None:
    page = page_at(WIDE, scheme="dark")
    record(page, "visitor")
    sign_in(page, org, "visitor", "org_admin")
    page.get_by_role("link", name="Tokens", exact=True).click()
    page.get_by_role("button", name="Create the first group").click()
    page.get_by_label("Name").fill("Poster team")
    page.get_by_label("Image limit").fill("2")
    page.get_by_role("button", name="Create group").click()

    page.get_by_role("button", name="Add members").click()
    page.get_by_label("Paste").fill("ann\nben\ncleo")
    page.get_by_role("button", name="Check before adding").click()
    page.get_by_role("button", name="Add 3 users").click()
    expect(page.locator("#panel .flash")).to_contain_text("3 users added")
    page.get_by_role("link", name="Done").click()

    page.get_by_role("button", name="Try it").click()
    for user in ("ann", "ben", "cleo"):
        page.get_by_label("As whom").select_option(user)
        page.get_by_role("button", name="Generate an image").click()
        told = page.locator("#panel .flash")
        expect(told).to_contain_text(user if user != "cleo" else "Refused.")
    expect(page.locator("#panel .flash")).to_contain_text("The image limit of Poster team is reached: 2 of 2")
    screen(page, "scenario-visitor-refused")
